//! Refusals of the HTTP layer's own, which no middleware sees.
//!
//! actix-http answers a request head that it cannot parse, one that is too large and one that is late by itself: with a
//! status, `content-length: 0` and a date. It has no hook for these answers, but all of them are the last bytes that it
//! writes to a connection. There they are replaced by problem documents.

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

use super::problem::Problem;
use crate::{domain::ErrorCode, error_mapping::ErrorMapping, telemetry::Metrics};

/// The end of an answer's head.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// More than the longest bare refusal has: 431, with `connection` and `date`, has 128 bytes.
const MAX_BARE_BYTES: usize = 192;

/// Where a bare refusal begins in what the HTTP layer writes, and the error that it stands for.
///
/// Answers of the application are never taken for one, because each has a request id in its head.
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

/// A problem document on its way to a client whose request was refused.
pub struct Refusal {
    code: ErrorCode,
    /// A new one: the head that may have named another was not parsed.
    request_id: Uuid,
    unsent: Bytes,
}

impl Refusal {
    /// A complete HTTP/1.1 answer, after which the connection ends.
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

    /// Sends the answer. Pending until all of it is handed to the kernel.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.unsent))?;
            self.unsent.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Counts and logs the request as the middleware does for those that it sees.
    pub fn record(&self, metrics: &Metrics) {
        let status = ErrorMapping::of(self.code).http;
        metrics.http_requests.with_label_values(&["none", "other", &status.to_string()]).inc();
        tracing::info!(id = %self.request_id, status, code = ErrorMapping::of(self.code).code, "request refused before routing");
    }
}

/// Ends a connection whose client may still be sending: reads until the client is done, within `limit`.
///
/// A socket that is closed with unread input sends a reset, which may overtake the answer.
pub async fn close(mut stream: TcpStream, limit: Duration) {
    let drain = async {
        stream.shutdown().await?;
        let mut discarded = [0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        Result::Ok(())
    };
    // The connection ends here, however the client takes it.
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
    fn bare_refusal_at_the_end_is_found_with_its_error() {
        assert_eq!(found(BARE), Some((0, ErrorCode::BadRequest)));
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(found(&format!("{answer}{BARE}")), Some((answer.len(), ErrorCode::BadRequest)));
        let late = "HTTP/1.0 408 Request Timeout\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(found(late), Some((0, ErrorCode::RequestTimeout)));
        let large = BARE.replace("400 Bad Request", "431 Request Header Fields Too Large");
        assert_eq!(found(&large), Some((0, ErrorCode::HeadersTooLarge)));
    }

    #[test]
    fn other_writes_are_left_as_they_are() {
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
