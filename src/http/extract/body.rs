//! Request bodies, bounded in size and time.

use std::{future::poll_fn, task::Poll, time::Duration};

use actix_web::{
    HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{self, HeaderMap},
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt;

use crate::{
    domain::ErrorCode,
    http::{hijack::ConnectionHandle, problem::Problem},
};

/// Maximum size of a body, except of a webhook.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Maximum time between the head of a request and the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Reads a body of at most `limit` bytes in bounded time.
///
/// # Errors
/// 413 and 408; 400 if the connection breaks or the transfer coding is malformed.
pub async fn read_body(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    read_reserved_body(request, payload, limit, |_| Ok(())).await
}

/// Reads a body as [`read_body`] does. Calls `reserve` with the size of each chunk before the chunk is kept.
///
/// # Errors
/// Errors of [`read_body`] and of `reserve`.
pub async fn read_reserved_body(
    request: &HttpRequest,
    mut payload: Payload,
    limit: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("a body may have at most {limit} bytes");
        Problem::with_detail(ErrorCode::PayloadTooLarge, detail)
    };
    let declared = header_text(request.headers(), header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if declared.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = next_chunk(request, &mut payload).await {
            let chunk = chunk.map_err(|error| incomplete(&error))?;
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            reserve(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_| Problem::new(ErrorCode::RequestTimeout))?
}

/// Maps the error of a body that the HTTP layer could not read to its end.
fn incomplete(error: &PayloadError) -> Problem {
    let detail = match error {
        PayloadError::Incomplete(_) => "the body ended early",
        _ => "the body's transfer coding is malformed",
    };
    Problem::with_detail(ErrorCode::MalformedBody, detail)
}

/// Reads the next chunk of the body. Tells the connection when it waits, because a client that has sent FIN sends no
/// more.
async fn next_chunk(request: &HttpRequest, payload: &mut Payload) -> Option<Result<Bytes, PayloadError>> {
    let connection = request.conn_data::<ConnectionHandle>();
    poll_fn(|cx| {
        let chunk = payload.poll_next_unpin(cx);
        if let Some(connection) = connection {
            connection.set_body_awaited(chunk.is_pending());
            if matches!(chunk, Poll::Ready(None)) {
                connection.set_body_complete();
            }
        }
        chunk
    })
    .await
}

/// Returns the value of a header; `None` if the header is absent or not visible ASCII.
pub fn header_text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
