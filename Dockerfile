# Latchkey in a container: the static binary, the roots of trust, a directory to write in, and nothing else.
# There is no shell in it and no user but 65532, and its root can be mounted read-only:
#
#     docker build --build-arg VERSION=v1.2.3 --build-arg COMMIT=$(git rev-parse HEAD) -t latchkey .
#     docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#       -v latchkey:/var/lib/latchkey -v /etc/latchkey:/etc/latchkey:ro -p 443:8443 latchkey
#
# With the same toolchain, version and commit the binary has the same bytes as the one of the release.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=v0.0.0
ARG COMMIT=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH GOAMD64=v1 GOARM64=v8.0 GOFLAGS=-mod=readonly GOEXPERIMENT= \
    go build -trimpath -buildvcs=false -ldflags="-s -w -buildid= -X main.release=$VERSION -X main.commit=$COMMIT" \
    -o /out/latchkey ./cmd/latchkey && mkdir -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /src/THIRD_PARTY_LICENSES /
COPY --from=build --chown=65532:65532 /out/data /var/lib/latchkey
COPY --from=build /out/latchkey /latchkey
USER 65532:65532
ENV LATCHKEY_CONFIG=/etc/latchkey/latchkey.yaml
VOLUME /var/lib/latchkey
EXPOSE 8443
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/latchkey", "health"]
ENTRYPOINT ["/latchkey"]
CMD ["serve"]
