//! A natural logarithm that gives the same bits on every machine.
//!
//! `f64::ln` is whatever the platform's mathematics library makes of it, and the last bit differs
//! between systems. Scores are compared and sorted, so one bit can swap two sentences.

/// Terms of the series after the first; the argument is at most 1/3, so the rest is below 1e-17.
const SERIES_TERMS: u32 = 17;

/// Natural logarithm of a finite positive number; 0 for everything else.
///
/// Only additions, multiplications and divisions, which IEEE 754 defines to the last bit.
pub(crate) fn ln(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 0.0;
    }
    // value = mantissa * 2^exponent with a mantissa in [1, 2).
    let bits = value.to_bits();
    let biased = (bits >> 52) & 0x7ff;
    if biased == 0 {
        // Subnormal numbers never occur as counts or ratios of counts; scale one up and correct.
        return ln(value * 4_503_599_627_370_496.0) - 52.0 * std::f64::consts::LN_2;
    }
    let exponent = biased as i64 - 1023;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    // ln(m) = 2 * atanh((m - 1) / (m + 1))
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for term in (0..SERIES_TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * ratio * sum
}
