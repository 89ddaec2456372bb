# syntax=docker/dockerfile:1

# Debian 12 in both stages: the binary runs against the C library that it was linked with.
FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies alone first, so that this layer is built anew only when they change.
COPY Cargo.toml Cargo.lock ./
COPY fuzz/Cargo.toml fuzz/
RUN mkdir src fuzz/src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs fuzz/src/lib.rs fuzz/src/main.rs \
    && cargo build --release --locked --bin keygate \
    && rm -r src fuzz/src

COPY . .
# The sources may be older than what was built in their place; cargo goes by the time.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin keygate \
    && mkdir /data

# The C library, the system's certificate authorities and a user without rights; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/keygate /usr/local/bin/keygate
# Where a relative SQLite path and the usage journal end up; mount a volume here to keep them.
COPY --from=build --chown=nonroot:nonroot /data /var/lib/keygate
WORKDIR /var/lib/keygate

# Mount the configuration as /etc/keygate/keygate.toml: it is found there without being named.
# The data plane and the admin plane, where the configuration says nothing else. In a container the
# admin plane is reached from outside only with `admin.listen = "0.0.0.0:8081"`.
EXPOSE 8080 8081

# Asks the running instance's /healthz, at the address that its configuration names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["/usr/local/bin/keygate", "health"]

# Ends gracefully: what is under way is finished within server.drain_timeout, so give
# `docker stop` at least that long.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/keygate"]
CMD ["serve"]
