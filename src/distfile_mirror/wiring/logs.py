"""How logs look: lines for people on a terminal, JSON elsewhere; always on standard error."""

import logging
import sys

import structlog

from distfile_mirror.config import Config


def configure_logging(config: Config) -> None:
    """Set structlog up, and let the standard library's loggers speak through it."""
    as_json = config.log_format == "json" or (config.log_format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        # Plain: with the values of variables, a traceback could show a password.
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    last = [structlog.processors.format_exc_info, renderer] if as_json else [renderer]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # Libraries tell of every connection at info; what they warn of is worth reading.
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
