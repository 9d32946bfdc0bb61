# `docker build .` makes the image from source. `docker build --target prebuilt -f Dockerfile FOLDER` takes `cidra` and
# `cidra-bootstrap` from FOLDER instead; the tests use it.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# The caches keep what the dependencies compiled to: a change of our code builds our crates only.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bins && \
    install -D -t /out target/release/cidra target/release/cidra-bootstrap

FROM debian:bookworm-slim AS base
# Any uid may run it: each makes its own folder, which only it can read, in /data.
RUN install -d -m 1777 /data
ENV HOME=/data \
    CIDRA_PATH=/data/repo \
    CIDRA_DATA=/data/bootstrap
USER 10001:10001
VOLUME /data
EXPOSE 4001/tcp 4001/udp
STOPSIGNAL SIGTERM
CMD ["cidra", "daemon"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["cidra", "health"]

FROM base AS prebuilt
COPY cidra cidra-bootstrap /usr/local/bin/

FROM base
COPY --from=build /out/ /usr/local/bin/
