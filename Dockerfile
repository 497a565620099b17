# The image of the gateway.
#
#   docker build -t gatewayz .
#   docker run --rm -p 8080:8080 --env-file .env gatewayz
#
# Both bases are build arguments, so that the image can be built where there is no registry for images
# (tests/image/run does that). The tag of the build base is the toolchain of rust-toolchain.toml, which is
# left out of the build on purpose: with it, rustup would fetch clippy and rustfmt here.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim
# The cargo profile. `dist` (fat LTO) is slow to build and fast to run; `release` is quicker to build.
ARG PROFILE=dist
# What gateway_build_info shows. Railway fills in its commit by itself.
ARG RAILWAY_GIT_COMMIT_SHA
ARG GATEWAYZ_REVISION=${RAILWAY_GIT_COMMIT_SHA}

# --- Dependencies: these layers change with Cargo.toml and Cargo.lock only ---
FROM ${BUILD_IMAGE} AS dependencies
WORKDIR /build
ARG PROFILE
ENV PROFILE=${PROFILE}
COPY Cargo.toml Cargo.lock ./
# Stub sources stand in for the real ones. Tests and benches that the manifest names are taken out of it:
# they are not built here, and cargo refuses a manifest whose files are missing.
RUN sed -i '/^\[\[\(bench\|test\)\]\]/,/^ *$/d' Cargo.toml \
    && mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --profile "${PROFILE}" --locked --bin gatewayz \
    && rm -rf src

# --- The gateway itself ---
FROM dependencies AS build
COPY config ./config
COPY src ./src
ARG GATEWAYZ_REVISION
# COPY keeps the time stamps of the files, which may be older than the stubs': cargo would take the stubs
# for the newest. Hence the touch.
RUN find src config -type f -exec touch {} + \
    && if [ -z "${GATEWAYZ_REVISION}" ]; then unset GATEWAYZ_REVISION; fi \
    && cargo build --profile "${PROFILE}" --locked --bin gatewayz \
    && install -D -m 0755 "target/${PROFILE}/gatewayz" /out/gatewayz

# --- What runs ---
FROM ${RUNTIME_IMAGE}
ARG GATEWAYZ_REVISION
LABEL org.opencontainers.image.title="gatewayz" \
      org.opencontainers.image.description="Serves the Anthropic Messages API from OpenAI-compatible providers, and shows how every model is doing" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${GATEWAYZ_REVISION}"
# Nothing else goes in: TLS roots and the model catalog are compiled into the binary.
COPY --from=build /out/gatewayz /usr/local/bin/gatewayz
# A number, so that a platform that demands a non-root user can see that it is one.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/gatewayz", "healthcheck"]
# Exec form: the binary is process 1, and the SIGTERM of a deploy reaches it.
ENTRYPOINT ["/usr/local/bin/gatewayz"]
CMD ["serve"]
