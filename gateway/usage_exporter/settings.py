"""The exporter's settings: environment variables; those of Redis are the gateway's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, FilePath, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.config import Port, Seconds
from gateway.telemetry.log_level import LEVELS


class ExporterSettings(BaseSettings):
    """Prefix USAGE_EXPORTER_, but for REDIS_URL and GATEWAY_REDIS_CA_FILE."""

    model_config = SettingsConfigDict(env_prefix="USAGE_EXPORTER_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: Port = 9101
    # So many projects have series of their own: those that use most.
    projects: Annotated[int, Field(ge=1, le=5000)] = 500
    # Between two looks. Prometheus need not ask more often.
    interval_s: Seconds = 15.0
    # Twice as long as from scrape to scrape: what is new is told as 0 first, for so long.
    held_s: Seconds = 60.0
    log_level: Annotated[str, Field(pattern=f"^({'|'.join(LEVELS)})$")] = "INFO"
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias="REDIS_URL"
    )
    redis_ca_file: FilePath | Path | None = Field(
        default=None, validation_alias="GATEWAY_REDIS_CA_FILE"
    )
