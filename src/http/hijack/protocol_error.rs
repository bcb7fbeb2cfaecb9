//! Problem documents in place of the HTTP layer's own error responses.
//!
//! actix-http itself answers a request head that it cannot parse (400), that is too large (431) or late (408). The
//! response has only a status, `content-length: 0` and a date. actix-http has no hook for it, and no middleware sees
//! it, but it is always the last write of a connection. The connection replaces it there.

use std::{
    io::Result,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{rt::net::TcpStream, web::Buf};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use uuid::Uuid;

use crate::{domain::ErrorCode, error_mapping::ErrorMapping, http::problem::Problem, telemetry::Metrics};

/// End of a response head.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Upper bound of the length of a bare error response. The longest, 431 with `connection` and `date`, has 128 bytes.
const MAX_BARE_BYTES: usize = 192;

/// Returns the start of a bare error response at the end of a write, and its error.
///
/// A response of the application never matches, because each has `x-request-id`.
pub fn find(written: &[u8]) -> Option<(usize, ErrorCode)> {
    if !written.ends_with(HEAD_END) {
        return None;
    }
    let from = written.len().saturating_sub(MAX_BARE_BYTES);
    let start = from + written[from..].windows(7).rposition(|window| window == b"HTTP/1.")?;
    let head = std::str::from_utf8(&written[start..]).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let code = code(lines.next()?.split(' ').nth(1)?)?;
    let is_bare = lines.all(|line| {
        line == "content-length: 0" || line.starts_with("connection: ") || line.starts_with("date: ")
    });
    is_bare.then_some((start, code))
}

fn code(status: &str) -> Option<ErrorCode> {
    match status {
        "400" => Some(ErrorCode::BadRequest),
        "408" => Some(ErrorCode::RequestTimeout),
        "431" => Some(ErrorCode::HeadersTooLarge),
        "500" => Some(ErrorCode::Internal),
        _ => None,
    }
}

/// HTTP/1.1 response with a problem document, for a request that the HTTP layer rejected.
pub struct ProtocolErrorResponse {
    code: ErrorCode,
    /// New id, because the head that may contain the caller's was not parsed.
    request_id: Uuid,
    unsent: Bytes,
}

impl ProtocolErrorResponse {
    /// Encodes the response. The connection ends after it.
    pub fn new(code: ErrorCode) -> Self {
        let request_id = Uuid::now_v7();
        let mapping = ErrorMapping::of(code);
        let reason = actix_web::http::StatusCode::from_u16(mapping.http).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or_default();
        let document = Problem::new(code).document().to_string();
        let unsent = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-length: {}\r\nconnection: close\r\n\
             content-type: application/problem+json\r\nx-content-type-options: nosniff\r\n\
             x-request-id: {request_id}\r\ndate: {}\r\n\r\n{document}",
            mapping.http,
            document.len(),
            chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT"),
        );
        Self { code, request_id, unsent: unsent.into() }
    }

    /// Writes the response. Pending until the socket has taken all of it.
    ///
    /// # Errors
    /// Errors of the socket.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.unsent))?;
            self.unsent.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Counts and logs the request, as the middleware does for parsed requests.
    pub fn record(&self, metrics: &Metrics) {
        let ErrorMapping { http: status, code, .. } = ErrorMapping::of(self.code);
        metrics.http_requests.with_label_values(&["none", "other", &status.to_string()]).inc();
        tracing::info!(id = %self.request_id, status, code, "request refused before routing");
    }
}

/// Closes a connection whose client may still send: sends FIN and reads until the client's FIN, for at most `limit`.
///
/// Closing a socket with unread input sends a reset, which may overtake the response.
pub async fn close(mut stream: TcpStream, limit: Duration) {
    let drain = async {
        stream.shutdown().await?;
        let mut discarded = [0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        Result::Ok(())
    };
    // An error or the limit ends the connection too.
    let _ = timeout(limit, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
                        date: Sat, 28 Nov 2026 15:46:16 GMT\r\n\r\n";

    fn found(written: &str) -> Option<(usize, ErrorCode)> {
        find(written.as_bytes())
    }

    #[test]
    fn bare_error_response_at_end_of_write_is_found_with_its_error() {
        assert_eq!(found(BARE), Some((0, ErrorCode::BadRequest)));
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(found(&format!("{answer}{BARE}")), Some((answer.len(), ErrorCode::BadRequest)));
        let late = "HTTP/1.0 408 Request Timeout\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(found(late), Some((0, ErrorCode::RequestTimeout)));
        let large = BARE.replace("400 Bad Request", "431 Request Header Fields Too Large");
        assert_eq!(found(&large), Some((0, ErrorCode::HeadersTooLarge)));
    }

    #[test]
    fn other_write_is_not_an_error_response() {
        for written in [
            "",
            "\r\n\r\n",
            "0\r\n\r\n",
            &BARE[..BARE.len() - 1],
            &BARE.replace("date", "x-request-id: 1\r\ndate"),
            &BARE.replace("400 Bad Request", "204 No Content"),
            &format!("{BARE}{{}}"),
        ] {
            assert_eq!(found(written), None, "{written}");
        }
    }
}
