# Image of the service: one binary, which includes the pages, on a slim Debian.

ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm


# The browser libraries of the pages, at the versions and hashes that the modules in static/assets/ pin. The build fails
# without them, because the pages would silently load them from a CDN.
FROM node:22-${DEBIAN_RELEASE}-slim AS vendor
WORKDIR /src
COPY scripts/vendor scripts/vendor
COPY static/assets/media.js static/assets/chart.js static/assets/
RUN scripts/vendor


FROM rust:${RUST_VERSION}-${DEBIAN_RELEASE} AS build
WORKDIR /src
# Builds the dependencies for an empty crate of the same name, in a layer that changes with these two files only.
# cargo-chef would do the same, but is one more tool to build and trust.
COPY Cargo.toml Cargo.lock ./
# Cargo requires the file of each bench that the manifest names.
RUN benches=$(sed -n '/^\[\[bench]]/,/^$/s/^name = "\(.*\)"/benches\/\1/p' Cargo.toml) \
    && mkdir -p src $benches \
    && for folder in src $benches; do echo 'fn main() {}' >"$folder/main.rs"; done \
    && cp src/main.rs build.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src build.rs
COPY build.rs ./
COPY proto proto
COPY static static
COPY --from=vendor /src/static/vendor static/vendor
COPY src src
# Cargo compares time stamps, and those of the sources may be older than the empty crate's.
RUN find src build.rs -type f -exec touch {} + && cargo build --release --locked


# Not scratch, because the binary links glibc. The binary includes the root certificates for TLS to LiveKit. TLS to
# Redis uses those of the system, which debian-slim lacks and a COPY below adds.
FROM debian:${DEBIAN_RELEASE}-slim
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="livestream-orchestrator" \
      org.opencontainers.image.description="A horizontally scalable, Redis-backed, stateless API that orchestrates LiveKit livestreams" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/livestream-orchestrator /usr/local/bin/livestream-orchestrator
# A numeric id, which Kubernetes' runAsNonRoot can check. The service writes no files: the root file system may be
# read-only.
USER 10001:10001
# The defaults of PORT and GRPC_PORT.
EXPOSE 3000 3001
STOPSIGNAL SIGTERM
# The binary itself requests /health/ready, because the image has no curl.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["livestream-orchestrator", "healthcheck"]
ENTRYPOINT ["livestream-orchestrator"]
