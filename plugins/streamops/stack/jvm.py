"""How the stack's Java servers run: small heaps, and a log on standard output, which goes to the server's file."""

from __future__ import annotations

from pathlib import Path

from streamops.stack.settings import StackSettings

#: HDFS has a line for each file, block and request, which at a batch a second would be most of what is logged.
_LOG_CONFIGURATION = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_OUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1}: %m%n%ex{20}
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.hdfs.name = org.apache.hadoop.hdfs
logger.hdfs.level = warn
logger.blocks.name = BlockStateChange
logger.blocks.level = warn
logger.requests.name = http.requests
logger.requests.level = warn
"""

def daemon_options(settings: StackSettings, heap_mb: int) -> tuple[str, ...]:
    """Options of a server's JVM: heap in MB, one collector thread, log to standard output."""
    return (
        f"-Xmx{heap_mb}m",
        # On two cores shared by eight servers, one collector thread each is less memory and no slower.
        "-XX:+UseSerialGC",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={log_configuration(settings)}",
    )


def log_configuration(settings: StackSettings) -> Path:
    """The log4j2 configuration that the stack's Java servers share; written when it is not there."""
    path = settings.data / "conf" / "log4j2.properties"
    if not path.exists() or path.read_text("utf-8") != _LOG_CONFIGURATION:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_LOG_CONFIGURATION, "utf-8")
    return path
