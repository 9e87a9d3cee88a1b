//! One page of what a search finds.

use std::ops::ControlFlow;

/// Rows that a search gives at most.
pub const PAGE_MAX: usize = 1000;

/// Which rows of a search are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// At most this many.
    pub limit: usize,
    /// Leaves out this many of the first.
    pub offset: usize,
}

/// The order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first: of times, the newest.
    #[default]
    Descending,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows of the window.
    pub rows: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<usize>,
}

impl<T> Page<T> {
    /// Picks the window out of rows that come one by one, in order, from `visit`, which is to
    /// stop when it is told to. One row behind the window is looked at, to know whether there is
    /// one.
    ///
    /// # Errors
    /// What `visit` reports.
    pub fn pick<E>(
        window: Window,
        mut keep: impl FnMut(&T) -> bool,
        visit: impl FnOnce(&mut dyn FnMut(T) -> ControlFlow<()>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut seen = 0;
        let end = window.offset.saturating_add(window.limit);
        let mut page = Self { rows: Vec::new(), next: None };
        visit(&mut |row| {
            if !keep(&row) {
                return ControlFlow::Continue(());
            }
            if seen == end {
                page.next = Some(end);
                return ControlFlow::Break(());
            }
            if seen >= window.offset {
                page.rows.push(row);
            }
            seen += 1;
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{Page, Window};

    fn pick(limit: usize, offset: usize) -> (Vec<u32>, Option<usize>) {
        let even = |n: &u32| n.is_multiple_of(2);
        let page = Page::pick::<Infallible>(Window { limit, offset }, even, |visit| {
            let _ = (0..10).try_for_each(visit);
            Ok(())
        });
        let Ok(page) = page;
        (page.rows, page.next)
    }

    #[test]
    fn a_page_counts_only_what_is_kept_and_knows_whether_more_follows() {
        assert_eq!(pick(2, 0), (vec![0, 2], Some(2)));
        assert_eq!(pick(2, 3), (vec![6, 8], None));
        assert_eq!(pick(2, 4), (vec![8], None));
        assert_eq!(pick(2, 9), (vec![], None));
        assert_eq!(pick(0, 0), (vec![], Some(0)));
    }
}
