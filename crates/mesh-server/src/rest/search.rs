//! What searches have in common: windows, pagination headers, and answers of chosen members.

use axum::{
    Json as Body,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use mesh_protocol::search::SortOrder;
use mesh_runtime::page::{Direction, PAGE_MAX, Page, Window};
use serde::Serialize;
use serde_json::Value as Json;

use crate::refusal::Refusal;

/// Rows that a search gives when it does not say.
const LIMIT: u32 = 10;

const NEXT: HeaderName = HeaderName::from_static("x-pagination-next");
const TOTAL: HeaderName = HeaderName::from_static("x-pagination-total");

/// The window of a search.
///
/// # Errors
/// 422 for a limit that is not 1 to [`PAGE_MAX`].
pub(super) fn window(limit: Option<u32>, offset: Option<u32>) -> Result<Window, Refusal> {
    window_or(limit, offset, LIMIT)
}

/// The window of a search with a limit of its own.
///
/// # Errors
/// As [`window`].
pub(super) fn window_or(
    limit: Option<u32>,
    offset: Option<u32>,
    default: u32,
) -> Result<Window, Refusal> {
    let limit = limit.unwrap_or(default) as usize;
    if !(1..=PAGE_MAX).contains(&limit) {
        let detail = format!("/limit: {limit}, expected 1 to {PAGE_MAX}");
        return Err(Refusal::invalid(Some("/limit".to_owned()), detail));
    }
    Ok(Window { limit, offset: offset.unwrap_or(0) as usize })
}

/// The direction of a sort; newest first when nothing is said.
pub(super) fn direction(order: Option<SortOrder>) -> Direction {
    match order.unwrap_or_default() {
        SortOrder::Asc => Direction::Ascending,
        SortOrder::Desc => Direction::Descending,
    }
}

/// The answer of a search: a list, and headers that say where it goes on.
pub(super) fn paged<T, W: Serialize, S: Serialize>(
    window: Window,
    page: Page<T>,
    wire: impl Fn(T) -> W,
    select: Option<&[S]>,
) -> Response {
    let total = window.offset + page.rows.len() + usize::from(page.next.is_some());
    let rows: Vec<W> = page.rows.into_iter().map(wire).collect();
    let mut response = match select {
        None => Body(rows).into_response(),
        Some(select) => match selected(&rows, select) {
            Ok(rows) => Body(rows).into_response(),
            Err(refusal) => return refusal.into_response(),
        },
    };
    let headers = response.headers_mut();
    headers.insert(TOTAL, HeaderValue::from(total));
    if let Some(next) = page.next {
        headers.insert(NEXT, HeaderValue::from(next));
    }
    response
}

/// Rows with the chosen members alone.
///
/// # Errors
/// [`Refusal::Internal`] for a row that has no JSON form.
pub(super) fn selected<W: Serialize, S: Serialize>(
    rows: &[W],
    select: &[S],
) -> Result<Vec<Json>, Refusal> {
    let internal = |_| Refusal::Internal;
    let names: Vec<Json> =
        select.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(internal)?;
    rows.iter()
        .map(|row| {
            let mut row = serde_json::to_value(row).map_err(internal)?;
            if let Json::Object(members) = &mut row {
                members.retain(|name, _| names.iter().any(|chosen| chosen == name));
            }
            Ok(row)
        })
        .collect()
}
