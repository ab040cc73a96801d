# Everloop, one program with all roles: `docker run IMAGE queue ...`. The image holds the program, what it is linked against, and the
# certificates of the public authorities: no shell, no package manager.
FROM rust:1.95-bookworm AS build
# Of Cargo.toml; tests have one that builds faster.
ARG PROFILE=release
WORKDIR /everloop
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY examples examples
COPY src src
# Built dependencies stay in the builder's cache, and a change of the source builds the source. Cargo goes by times, which say nothing
# when the cache was filled from another tree: what was copied counts as new.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/everloop/target \
    find src examples -type f -exec touch {} + && \
    cargo build --locked --profile ${PROFILE} --bin everloop && \
    mkdir -p /image/usr/bin /image/etc/ssl/certs && \
    cp target/${PROFILE}/everloop /image/usr/bin/ && \
    ldd target/${PROFILE}/everloop | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory=/image && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    echo 'everloop:x:65532:65532::/:' > /image/etc/passwd && \
    echo 'everloop:x:65532:' > /image/etc/group && \
    echo 'hosts: files dns' > /image/etc/nsswitch.conf

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/usr/bin/everloop"]
