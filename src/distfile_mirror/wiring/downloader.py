"""The downloader of files."""

import asyncio
import gc
import signal

from distfile_mirror.config import Config
from distfile_mirror.downloaders.files import run_file_downloader
from distfile_mirror.downloaders.settings import LoopSettings, Summary
from distfile_mirror.upstream.settings import UpstreamSettings
from distfile_mirror.wiring.storage import open_blob_store


def run(config: Config, *, watch: bool) -> Summary:
    """Download what is due; with ``watch`` go on until SIGTERM or SIGINT. Django must be configured."""
    # What is imported stays for ever: the collector need not look at it again and again.
    gc.freeze()
    return asyncio.run(_run(config, watch=watch))


async def _run(config: Config, *, watch: bool) -> Summary:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await run_file_downloader(
        store=open_blob_store(config),
        settings=_loop_settings(config),
        upstream=_upstream_settings(config),
        run_dir=config.run_dir,
        watch=watch,
        stop=stop,
    )


def _loop_settings(config: Config) -> LoopSettings:
    return LoopSettings(
        concurrency=config.download_concurrency,
        concurrency_per_host=config.download_concurrency_per_host,
        max_attempts=config.download_max_attempts,
        backoff=config.download_backoff,
        max_backoff=config.download_max_backoff,
        lease=config.download_lease,
        poll=config.download_poll,
        stop_grace=config.stop_grace,
    )


def _upstream_settings(config: Config) -> UpstreamSettings:
    return UpstreamSettings(
        allow_network=config.allow_network,
        connect_to=config.connect_to,
        upstream_ca=config.upstream_ca,
        connect_timeout=config.download_connect_timeout,
        stall_timeout=config.download_stall_timeout,
        stall_bytes=config.download_stall_bytes,
        total_timeout=config.download_total_timeout,
        max_bytes=config.download_max_bytes,
    )
