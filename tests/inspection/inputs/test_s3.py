"""Images in S3 itself, as far as a machine can have it: a server that speaks it, and the real client.

`pip install -e '.[s3]' 'moto[server]'` brings both; without them this file is skipped.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from inspection.inputs.addresses import Copies, NotThereError
from inspection.inputs.defect_log import LogReading, read_defect_log
from tests.inspection.inputs.logs import HEADER, logged

pytest.importorskip("s3fs", reason="no s3fs: install fmi[s3]")
moto = pytest.importorskip("moto.server", reason="no moto: install moto[server]")

pytestmark = pytest.mark.filterwarnings("ignore")  # the client's and the server's own
Server = Any  # moto's
STORE = "s3://plant-images/line3"


@pytest.fixture
def server(plant: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that holds the plant's images; the client finds it as it finds any."""
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setitem(os.environ, name, "test")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
    system = fsspec.filesystem("s3")
    system.makedirs("plant-images", exist_ok=True)
    for path in plant.glob("*.png"):
        system.pipe_file(f"plant-images/line3/lot 7/{path.name}", path.read_bytes())
    yield running
    running.stop()
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_log_of_images_in_s3_is_read(plant: Path, tmp_path: Path, server: Server) -> None:
    rows = ("lot 7/1.png,good,stain", f"{STORE}/lot 7/2.png,good,scratch", "lot 7/no.png,good,stain")
    how = LogReading(images_root=STORE, copies=Copies(tmp_path / "copies", (STORE,)))
    log = read_defect_log(logged(plant, "\n".join([HEADER, *rows])), {}, ["good", "scratch", "stain"], how)
    assert [row.address for row in log.rows] == [f"{STORE}/lot 7/1.png", f"{STORE}/lot 7/2.png"]
    for row in log.rows:
        assert row.image_path.read_bytes() == (plant / row.image_path.name).read_bytes()
    (aside,) = log.set_aside
    assert (aside.reason, aside.detail) == (
        "missing_image",
        f"{STORE}/lot 7/no.png: there is no such image",
    )


def test_what_s3_does_not_give_is_told(tmp_path: Path, server: Server) -> None:
    copies = Copies(tmp_path / "copies", (STORE, "s3://nobodys"))
    with pytest.raises(NotThereError, match="there is no such image"):
        copies.fetch("s3://nobodys/a.png", 1)
    server.stop()
    with pytest.raises(NotThereError, match=r"it cannot be read .*; check the connection"):
        copies.fetch(f"{STORE}/lot 7/1.png", 1)
