"""A real S3 server, S3Proxy over a folder of this machine, and the storage connection that leads to a bucket in it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from streamops.adapters.connections import Connection
from streamops.settings import Settings
from streamops.stack.jars import ensure
from streamops.stack.java import java
from streamops.stack.settings import LOOPBACK, StackSettings

KEY, SECRET, BUCKET = "streams-key", "streams-secret", "streams"


@dataclass
class S3Server:
    """One server over `folder`; what is in there outlives it."""

    folder: Path
    port: int
    say: Callable[[str], None]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @classmethod
    def at(cls, folder: Path, say: Callable[[str], None]) -> S3Server:
        (folder / "data" / BUCKET).mkdir(parents=True)
        return cls(folder, StackSettings.on_free_ports(folder).hdfs_http_port, say)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def connection(self) -> Connection:
        """As a person writes it for S3 that is not Amazon's: Airflow's type, with an endpoint."""
        return Connection("streamops_storage", "aws", login=KEY, password=SECRET,
                          extra={"url": f"s3://{BUCKET}", "endpoint_url": self.url})

    def start(self) -> None:
        jars = ensure("s3", Settings.load().home / "jars", self.say)
        properties = self.folder / "s3proxy.properties"
        properties.write_text(
            f"s3proxy.endpoint={self.url}\ns3proxy.authorization=aws-v2-or-v4\n"
            f"s3proxy.identity={KEY}\ns3proxy.credential={SECRET}\n"
            # Checksums of newer clients, which this server does not check.
            "s3proxy.ignore-unknown-headers=true\n"
            f"jclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={self.folder / 'data'}\n"
            "jclouds.identity=unused\njclouds.credential=unused\n")
        with (self.folder / "s3proxy.log").open("ab") as log:
            self.process = subprocess.Popen(
                [java(), "-Xmx192m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "org.gaul.s3proxy.Main",
                 "--properties", str(properties)], stdout=log, stderr=log)
        deadline_s = time.monotonic() + 60
        while True:
            with socket.socket() as tried:
                if tried.connect_ex((LOOPBACK, self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "s3proxy.log").read_text()[-2000:]
            assert time.monotonic() < deadline_s, "the S3 server does not answer"
            time.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
