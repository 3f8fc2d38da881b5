"""The downloaders: of files, and of container images."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import partial

from distfile_mirror.blobs.disk import DiskBlobStore
from distfile_mirror.blobs.object_store import ObjectBlobStore
from distfile_mirror.catalog import database
from distfile_mirror.config import Config
from distfile_mirror.downloaders.files import run_file_downloader
from distfile_mirror.downloaders.images import run_image_downloader
from distfile_mirror.downloaders.metrics import REGISTRY
from distfile_mirror.downloaders.settings import CheckSettings, LoopSettings, Summary
from distfile_mirror.downloaders.side_process import Callers, here, side_process
from distfile_mirror.supervisor import tell_ready
from distfile_mirror.wiring.hangups import ENDS, Hangups, Reread
from distfile_mirror.wiring.metrics import Pulse, told
from distfile_mirror.wiring.storage import open_blob_store
from distfile_mirror.wiring.upstreams import registry_settings, upstream_settings


def run_files(config: Config, *, watch: bool, reread: Reread) -> Summary:
    """Download files that are due; with ``watch`` go on until SIGTERM or SIGINT. Django must be configured."""

    def download(store: Store, callers: Callers, stop: asyncio.Event) -> Coroutine[None, None, Summary]:
        return run_file_downloader(
            store=store,
            settings=_loop_settings(config),
            upstream=upstream_settings(config),
            run_dir=config.run_dir,
            watch=watch,
            stop=stop,
            checks=CheckSettings(config.upstream_check_seconds, timedelta(seconds=config.upstream_check_period)),
            callers=callers,
        )

    return _run("cron-download-files", config, download, reread)


def run_images(config: Config, *, watch: bool, reread: Reread) -> Summary:
    """Download images that are due; with ``watch`` go on until SIGTERM or SIGINT. Django must be configured."""

    def download(store: Store, callers: Callers, stop: asyncio.Event) -> Coroutine[None, None, Summary]:
        return run_image_downloader(
            store=store,
            settings=_loop_settings(config),
            upstream=upstream_settings(config),
            registries=registry_settings(config),
            run_dir=config.run_dir,
            watch=watch,
            stop=stop,
            callers=callers,
        )

    return _run("cron-download-containers", config, download, reread)


# The loop has told of a signal that came before.
HEARD_SECONDS = 0.01
Store = DiskBlobStore | ObjectBlobStore
Download = Callable[[Store, Callers, asyncio.Event], Coroutine[None, None, Summary]]


def _run(component: str, config: Config, download: Download, reread: Reread) -> Summary:
    # What is imported stays for ever: the collector need not look at it again and again, nor copy it after a fork.
    gc.freeze()
    database.disconnect()  # which asked after the schema
    with side_process(f"{component}: side process") as beside:
        store = open_blob_store(config)
        # What uploads waits for the network, not for the interpreter.
        callers = beside if isinstance(store, DiskBlobStore) else replace(beside, blobs=here)
        summary, hangups = asyncio.run(_until_stopped(partial(download, store, callers), config, reread))
    hangups.begin_anew_if_heard()
    return summary


async def _until_stopped(
    download: Callable[[asyncio.Event], Coroutine[None, None, Summary]], config: Config, reread: Reread
) -> tuple[Summary, Hangups]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    hangups = Hangups(reread, lambda: loop.call_soon_threadsafe(stop.set))
    for number in ENDS:
        loop.add_signal_handler(number, hangups.end)
    hangups.listen()
    pulse = Pulse()
    with told(config, REGISTRY, pulse.is_felt):  # who hears that it is alive may send it signals
        beating = loop.create_task(pulse.beat())
        tell_ready()
        summary = await download(stop)
        beating.cancel()
    hangups.leave_the_rest()
    await asyncio.sleep(HEARD_SECONDS)
    return summary, hangups


def _loop_settings(config: Config) -> LoopSettings:
    return LoopSettings(
        concurrency=config.download_concurrency,
        concurrency_per_host=config.download_concurrency_per_host,
        concurrency_per_image=config.download_concurrency_per_image,
        max_attempts=config.download_max_attempts,
        backoff=config.download_backoff,
        max_backoff=config.download_max_backoff,
        lease=config.download_lease,
        poll=config.download_poll,
        stop_grace=config.stop_grace,
    )
