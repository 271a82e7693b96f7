# One image for every part; docker-compose.yml names the part as the command.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/tidemill /opt/build
COPY requirements/ /src/requirements/
RUN /opt/tidemill/bin/pip install --require-hashes -r /src/requirements/runtime.txt \
 && /opt/build/bin/pip install --require-hashes -r /src/requirements/build.txt
COPY . /src/
RUN cd /src \
 && /opt/build/bin/python -m hatchling build --target wheel --directory /wheel \
 && /opt/tidemill/bin/pip install --no-deps --no-index /wheel/*.whl \
 && /opt/tidemill/bin/python -m compileall -q /opt/tidemill/lib

FROM python:3.13-slim
# The number is fixed, so that a volume's owner is the same on every machine.
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/tidemill tidemill \
 && install --directory --owner tidemill --group tidemill --mode 0700 /var/lib/tidemill \
 && install --directory /app
COPY --from=build /opt/tidemill /opt/tidemill
ENV PATH=/opt/tidemill/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TIDEMILL_HOME=/var/lib/tidemill
USER tidemill
# tidemill.toml is looked for here.
WORKDIR /app
ENTRYPOINT []
CMD ["tidemill", "--help"]
