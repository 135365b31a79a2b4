# Unpinned as a container: runs as 65532:65532 with a read-only root, and writes nowhere.
#
#     docker build --tag unpinned --build-arg VERSION=0.1.0 .
#
# Any image with Python 3.11 (venv and pip included) and CA certificates will do as PYTHON_IMAGE; pin it by its digest. The
# core is compiled, by a C compiler that the first stage installs where it has none (a Debian can); `--build-arg COMPILE=0`
# leaves the core interpreted, which is the same source.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG COMPILE=1
WORKDIR /src
# hadolint ignore=DL3008
RUN [ "${COMPILE}" != 1 ] || command -v cc \
    || (apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev)
COPY deploy/requirements.txt deploy/build-requirements.txt deploy/
# The compiler reads the types of what runs, so that the first environment has that as well.
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
        --requirement deploy/build-requirements.txt --requirement deploy/requirements.txt \
    && python3 -m venv --without-pip /opt/unpinned \
    && /build/bin/pip --python /opt/unpinned/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
        --requirement deploy/requirements.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY proxy proxy
COPY unpinned unpinned
RUN UNPINNED_COMPILE="${COMPILE}" /build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /build/bin/pip --python /opt/unpinned/bin/python install --no-index --no-deps /wheel/*.whl

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Unpinned" \
      org.opencontainers.image.description="Stateless reverse proxy for the OpenAI Responses API" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=build /opt/unpinned /opt/unpinned
ENV PATH="/opt/unpinned/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    UNPINNED_LISTEN=0.0.0.0:8080 \
    UNPINNED_ADMIN_LISTEN=0.0.0.0:8081
USER 65532:65532
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Of Docker's: images in OCI's format have no health check, and Kubernetes asks /livez and /readyz itself.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["unpinned", "healthcheck"]
ENTRYPOINT ["unpinned"]
