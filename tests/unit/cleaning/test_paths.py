"""Which paths cleanup may touch: strictly below a declared root, by text and by where they really are."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.cleaning.paths import Root, RootKind, refusal

ORDERS = Root(RootKind.STATE, "file:///var/streams/orders", "/var/streams/orders", "orders")
LINES = Root(RootKind.STATE, "file:///var/streams/lines", "/var/streams/lines", "lines")
HDFS = Root(RootKind.STATE, "hdfs://nn:8020/streams/orders", "/streams/orders", "orders")
S3 = Root(RootKind.STATE, "s3://bucket/streams/orders", "bucket/streams/orders", "orders")


@pytest.mark.parametrize("root", [ORDERS, HDFS, S3])
@pytest.mark.parametrize("path", ["checkpoint/000001/offsets/0", "output/batch=0/a b.parquet", "ä", "..a/b"])
def test_what_is_below_a_root_may_be_touched(root: Root, path: str) -> None:
    assert refusal(root, path, [ORDERS, LINES, S3, root]) is None
    assert refusal(root, path, [root], resolved=f"{root.resolved}/{path}") is None


@pytest.mark.parametrize(("path", "said"), [
    ("", "the root itself"),
    ("/", "not a path below"),
    ("/var/streams/orders/x", "not a path below"),
    ("..", "empty part"),
    ("../orders/x", "empty part"),
    ("../lines/x", "empty part"),
    ("checkpoint/../../lines/x", "empty part"),
    ("checkpoint/./x", "empty part"),
    ("checkpoint//x", "empty part"),
    ("checkpoint/", "empty part"),
    (".", "empty part"),
    ("a\\..\\b", "not a path below"),
    ("file:///etc/passwd", "not a path below"),
    ("a\0b", "cannot be shown"),
    ("a\nb", "cannot be shown"),
    ("a\u202eb", "cannot be shown"),
])
def test_what_leads_out_is_refused(path: str, said: str) -> None:
    assert said in str(refusal(ORDERS, path))


@pytest.mark.parametrize("resolved", [
    "/var/streams/lines/checkpoint/x", "/var/streams/orders", "/var/streams/orders-old/checkpoint/x", "/etc/passwd",
    "/var/streams/orders/checkpoint/y", "/mnt/disk/orders/checkpoint/x", "", "/",
])
def test_a_path_that_is_really_elsewhere_is_refused(resolved: str) -> None:
    """A folder on the way became a link, or was moved, since the plan was made."""
    assert "leads to" in str(refusal(ORDERS, "checkpoint/x", [ORDERS], resolved=resolved))


@pytest.mark.parametrize("other", [
    Root(RootKind.STATE, "file:///var/streams/orders", "/var/streams/orders", "lines"),
    Root(RootKind.STATE, "file:///mnt/orders", "/var/streams/orders", "lines"),
    Root(RootKind.STATE, "file:///var/streams", "/var/streams", "lines"),
    Root(RootKind.CODE, "file:///var/streams/orders", "/var/streams/orders"),
])
def test_a_root_that_is_shared_or_lies_in_another_one_s_state_is_refused_whole(other: Root) -> None:
    assert "nobody knows whose" in str(refusal(ORDERS, "checkpoint/x", [ORDERS, other]))


def test_a_root_inside_is_not_a_part() -> None:
    inner = Root(RootKind.CODE, f"{ORDERS.url}/home/code", f"{ORDERS.resolved}/home/code")
    for path in ("home/code", "home/code/3f9a0c1d52ab/x", "home"):
        assert "not a part" in str(refusal(ORDERS, path, [ORDERS, inner])), path
    assert refusal(ORDERS, "home/codes/x", [ORDERS, inner]) is None
    assert refusal(inner, "3f9a0c1d52ab", [ORDERS, inner]) is None


@pytest.mark.parametrize("resolved", ["/", "", "bucket", "/var/../", "/var/./x"])
def test_a_root_that_is_no_folder_of_one_pipeline_is_refused(resolved: str) -> None:
    assert refusal(Root(RootKind.STATE, "file:///x", resolved, "x"), "checkpoint/x") is not None


PARTS = st.lists(st.sampled_from(["a", "..", ".", "", "checkpoint", "lines", "/", "\\", "\n", "é"]), max_size=6)


@given(PARTS)
def test_whatever_is_allowed_stays_below_its_root(parts: list[str]) -> None:
    path = "/".join(parts)
    if refusal(ORDERS, path, [ORDERS, LINES]) is None:
        joined = posixpath.normpath(posixpath.join(ORDERS.resolved, path))
        assert joined == f"{ORDERS.resolved}/{path}"
