//! Pages of the history, as JSON or CSV, of at most [`MAX_MESSAGE_BYTES`].

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::header::{self, ETag, EntityTag, Header},
};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    csv::{self, Cell},
    responses::Row,
};
use crate::{
    domain::size::MAX_MESSAGE_BYTES,
    history::{RowLimit, Rows},
    http::{extract::IfNoneMatch, list_page, problem::Problem},
};

/// Format of a response, from the request's `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `application/json`
    Json,
    /// `text/csv`
    Csv,
}

impl Format {
    /// CSV if the client prefers it to JSON.
    fn of(request: &HttpRequest) -> Self {
        let ranked = header::Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
        let first = ranked.iter().find(|media| {
            ["text/csv", "text/*", "application/json", "application/*", "*/*"].contains(&media.essence_str())
        });
        let is_csv = first.is_some_and(|media| media.type_() == mime::TEXT);
        if is_csv { Self::Csv } else { Self::Json }
    }
}

/// Returns the bounds of a page of at most `rows` rows.
pub(super) fn row_limit(rows: usize) -> RowLimit {
    RowLimit { rows: u32::try_from(rows).unwrap_or(u32::MAX), bytes: MAX_MESSAGE_BYTES }
}

/// What a request says of the response with a page.
pub struct PageResponder {
    request: HttpRequest,
    stored: IfNoneMatch,
    format: Format,
}

impl FromRequest for PageResponder {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Self::of(request, payload))
    }
}

impl PageResponder {
    fn of(request: &HttpRequest, payload: &mut Payload) -> Result<Self, Problem> {
        let stored = IfNoneMatch::from_request(request, payload).into_inner()?;
        Ok(Self { request: request.clone(), stored, format: Format::of(request) })
    }

    /// Builds the response with as many of the rows as a message may have. `Link` names the next page (RFC 8288), whose
    /// position is in the parameter `next.0` as `next.1` renders it.
    ///
    /// # Errors
    /// 500 if a row cannot be serialised.
    pub(super) fn respond<R: Row>(
        &self,
        page: &Rows<R>,
        next: (&str, impl Fn(&str) -> String),
    ) -> Result<HttpResponse, Problem> {
        let (body, count) = match self.format {
            Format::Json => list_page::render(&page.rows)?,
            Format::Csv => render_csv(&page.rows),
        };
        let tag = EntityTag::new_weak(format!("{:032x}", xxh3_128(&body)));
        let is_stored = self.stored.matches(&tag);
        let mut response = if is_stored { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        let has_more = page.has_more || count < page.rows.len();
        if let Some(last) = page.rows[..count].last().filter(|_| has_more) {
            let (parameter, encode) = next;
            let link = list_page::next_link(&self.request, parameter, &encode(&last.position()));
            response.insert_header((header::LINK, link));
        }
        response.insert_header(ETag(tag)).insert_header((header::VARY, "accept"));
        if is_stored {
            return Ok(response.finish());
        }
        if self.format == Format::Csv {
            let disposition = format!("attachment; filename=\"{}.csv\"", R::FILE);
            response.insert_header((header::CONTENT_DISPOSITION, disposition));
            return Ok(response.content_type("text/csv; charset=utf-8").body(body));
        }
        Ok(response.content_type(mime::APPLICATION_JSON).body(body))
    }
}

/// Renders at least one row, unless there is none. Returns the text and its number of rows.
fn render_csv<R: Row>(rows: &[R]) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    csv::append(&mut body, R::COLUMNS.iter().map(|column| Cell::Text(column)));
    for (count, row) in rows.iter().enumerate() {
        let end = body.len();
        csv::append(&mut body, row.cells());
        if count > 0 && body.len() > MAX_MESSAGE_BYTES {
            body.truncate(end);
            return (body, count);
        }
    }
    (body, rows.len())
}
