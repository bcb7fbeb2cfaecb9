//! Settings of the listeners: addresses, CORS origins and shutdown.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use url::Url;

use super::{Arguments, SettingsError, reader::Reader};

const DEFAULT_PORT: u16 = 3000;
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Listening addresses, CORS origins and shutdown.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Address of the API.
    pub address: SocketAddr,
    /// Address of gRPC.
    pub grpc_address: SocketAddr,
    /// Separate address for `/metrics`; `None` serves it at the API's address.
    pub metrics_address: Option<SocketAddr>,
    /// Origins that browsers may call from: serialized origins, or `*`.
    pub cors_origins: Vec<String>,
    /// Maximum time from SIGTERM to exit.
    pub drain_timeout: Duration,
}

impl Arguments {
    /// Returns the address at which an instance with these settings listens, without regard to other settings.
    ///
    /// # Errors
    /// [`SettingsError`] for an invalid HOST or PORT.
    pub fn address(mut self) -> Result<SocketAddr, SettingsError> {
        self.drop_empty();
        let mut reader = Reader::default();
        let host = self.host(&mut reader);
        let port = self.port(&mut reader);
        reader.finish(host.map(|host| SocketAddr::new(host, port)))
    }

    /// Parses the HTTP settings and records invalid ones in `reader`. Returns `None` if HOST is invalid.
    pub(super) fn parse_http(&self, reader: &mut Reader) -> Option<HttpSettings> {
        let host = self.host(reader);
        if self.dev && host.is_some_and(|host| !host.is_loopback()) {
            reader.problem::<()>("HOST", "must be a loopback address in dev mode");
        }
        let metrics_address = self.metrics_address(reader);
        let cors_origins = self.cors_origins(reader);
        let port = self.port(reader);
        let drain_timeout =
            reader.duration("DRAIN_TIMEOUT", self.drain_timeout.as_ref(), DEFAULT_DRAIN_TIMEOUT);
        let grpc_port = self.grpc_port(port, reader);
        let (address, grpc_address) = (SocketAddr::new(host?, port), SocketAddr::new(host?, grpc_port));
        Some(HttpSettings { address, grpc_address, metrics_address, cors_origins, drain_timeout })
    }

    pub(super) fn host(&self, reader: &mut Reader) -> Option<IpAddr> {
        let default = if self.dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        match &self.host {
            None => Some(IpAddr::V4(default)),
            Some(text) => text.parse().ok().or_else(|| reader.problem("HOST", "must be an IP address")),
        }
    }

    fn port(&self, reader: &mut Reader) -> u16 {
        reader.port("PORT", self.port.as_ref(), DEFAULT_PORT)
    }

    /// Returns GRPC_PORT. The default is the HTTP port plus 1, or 0 (any free port) if the HTTP port is 0 or 65535.
    fn grpc_port(&self, http_port: u16, reader: &mut Reader) -> u16 {
        let next = if http_port == 0 { 0 } else { http_port.checked_add(1).unwrap_or_default() };
        reader.port("GRPC_PORT", self.grpc_port.as_ref(), next)
    }

    fn metrics_address(&self, reader: &mut Reader) -> Option<SocketAddr> {
        let text = self.metrics_addr.as_ref()?;
        let rule = "must be an IP address and a port like 127.0.0.1:9090";
        text.parse().ok().or_else(|| reader.problem("METRICS_ADDR", rule))
    }

    /// Parses CORS_ORIGINS, a comma-separated list; unset means no origin. Records a problem in `reader` for an entry
    /// that is neither `*` nor a serialized origin (RFC 6454, section 6.2), as with a path, a trailing slash or a
    /// default port.
    fn cors_origins(&self, reader: &mut Reader) -> Vec<String> {
        let origins = self.cors_origins.as_deref().unwrap_or_default().split(',').map(str::trim);
        let origins: Vec<_> = origins.filter(|origin| !origin.is_empty()).map(str::to_owned).collect();
        let is_origin = |text: &String| {
            text == "*" || Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text)
        };
        if !origins.iter().all(is_origin) {
            reader.problem::<()>("CORS_ORIGINS", "must be * or origins like https://app.example.com");
        }
        origins
    }
}
