# The service as an image: one binary with the pages in it, on a Debian that has nothing but what the binary needs.

ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm


# The LiveKit browser library, at the version and hash that static/assets/media.js pins. A build that cannot fetch it
# fails: the pages would load it from a CDN instead, and nobody would know.
FROM node:22-${DEBIAN_RELEASE}-slim AS vendor
WORKDIR /src
COPY scripts/vendor scripts/vendor
COPY static/assets/media.js static/assets/media.js
RUN scripts/vendor


FROM rust:${RUST_VERSION}-${DEBIAN_RELEASE} AS build
WORKDIR /src
# Dependencies in a layer of their own, which changes with these two files only: built for an empty crate of the same
# name. A plan made by cargo-chef would do the same, but is one more tool to build and to trust.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/faults benches/speed \
    && echo 'fn main() {}' | tee src/main.rs build.rs benches/faults/main.rs benches/speed/main.rs >/dev/null \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src build.rs
COPY build.rs ./
COPY proto proto
COPY static static
COPY --from=vendor /src/static/vendor static/vendor
COPY src src
# Cargo goes by time stamps, and those of the sources may be older than the empty crate's.
RUN find src build.rs -type f -exec touch {} + && cargo build --release --locked


# Not scratch: the binary is linked with glibc. The roots for TLS to LiveKit are in the binary; for TLS to Redis they are the
# machine's, which this image does not have of its own.
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
# By number, so that Kubernetes' runAsNonRoot can see it. Nothing is written: the root file system may be read-only.
USER 10001:10001
# PORT and GRPC_PORT at their defaults.
EXPOSE 3000 3001
STOPSIGNAL SIGTERM
# Whether this instance can serve, asked by the binary itself: there is no curl here.
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["livestream-orchestrator", "healthcheck"]
ENTRYPOINT ["livestream-orchestrator"]
