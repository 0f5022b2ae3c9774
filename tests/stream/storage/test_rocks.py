"""RocksDB per partition: atomic batches with their changelog offset, and a directory that one worker has to itself."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import rocksdict

from stream.errors import StorageError, UsageError
from stream.storage.rocks import _OFFSET_KEY, SLICE_BYTES, DataDirectory, PartitionStore, PartitionStores
from stream.wire.records import MAX_ID_BYTES

MIB = 1 << 20
DEADLINE_S = 60.0


@pytest.fixture
def directory(tmp_path):
    opened = DataDirectory(tmp_path / "data", 8 * MIB, 8 * MIB)
    yield opened
    opened.close()


@pytest.fixture
def stores(directory):
    opened = directory.stores("users")
    yield opened
    opened.close_all()


def test_values_come_back_in_the_order_asked_and_none_where_there_is_none(stores):
    stores[0].write([(b"a", b"1"), (b"b", b"")], None)
    assert stores[0].get_many([b"b", b"x", b"a", b"a"]) == [b"", None, b"1", b"1"]
    assert stores[0].get_many([]) == []


def test_many_partitions_with_little_each_stay_within_the_budget_of_write_buffers(directory, stores):
    for partition in range(32):
        stores[partition].write([(b"a", bytes(5000))], 0)
    assert directory.buffer_bytes < 4 * MIB


def test_none_deletes(stores):
    stores[0].write([(b"a", b"1"), (b"b", b"2")], 0)
    stores[0].write([(b"a", None)], 1)
    assert stores[0].get_many([b"a", b"b"]) == [None, b"2"]


def test_partitions_and_tables_are_apart(directory, stores):
    items = directory.stores("items")
    stores[0].write([(b"a", b"users 0")], None)
    stores[1].write([(b"a", b"users 1")], None)
    assert items[0].get_many([b"a"]) == [None]
    assert [stores[p].get_many([b"a"]) for p in stores] == [[b"users 0"], [b"users 1"]]
    items.close_all()


def test_the_changelog_offset_is_none_until_it_is_written_and_kept_where_it_is_not_given(stores):
    assert stores[0].changelog_offset() is None
    stores[0].write([(b"a", b"1")], 41)
    stores[0].write([(b"a", b"2")], None)
    assert stores[0].changelog_offset() == 41
    stores[0].write([], 2**62)
    assert stores[0].changelog_offset() == 2**62


def test_the_changelog_offset_is_no_item_and_no_id_can_be_its_key(stores):
    longest = b"\xff" * MAX_ID_BYTES
    lookalike = b"\x00penchant.changelog-offset"
    assert len(_OFFSET_KEY) > MAX_ID_BYTES
    stores[0].write([(longest, b"1"), (lookalike, b"2"), (b"\x00", b"3")], 7)
    assert dict(stores[0].items()) == {b"\x00": b"3", lookalike: b"2", longest: b"1"}
    assert stores[0].changelog_offset() == 7
    assert stores[0].get_many([lookalike]) == [b"2"]


def test_what_begins_alike_can_be_read_in_slices(stores):
    keys = [b"p%d" % n for n in range(5)]
    stores[0].write([(key, b"v") for key in [b"o", *keys, b"q"]], 1)
    assert [key for key, _ in stores[0].items_with_prefix(b"p")] == keys
    assert [key for key, _ in stores[0].items_with_prefix(b"p", None, 2)] == keys[:2]
    assert [key for key, _ in stores[0].items_with_prefix(b"p", keys[1], 2)] == keys[2:4]
    stores[0].write([(keys[3], None)], 2)
    assert [key for key, _ in stores[0].items_with_prefix(b"p", keys[3], 2)] == keys[4:], "deleted meanwhile"
    assert stores[0].items_with_prefix(b"p", keys[4], 2) == []


def test_a_batch_that_cannot_be_written_whole_writes_neither_values_nor_offset(stores):
    stores[0].write([(b"a", b"1")], 1)

    def values():
        yield b"a", b"2"
        raise OSError("the rest never came")

    with pytest.raises(OSError, match="never came"):
        stores[0].write(values(), 2)
    assert stores[0].get_many([b"a"]) == [b"1"]
    assert stores[0].changelog_offset() == 1


def test_much_is_written_in_slices_and_the_offset_with_the_last_so_that_what_a_crash_cut_off_is_read_again(
    stores, monkeypatch
):
    written = []
    write = PartitionStore._write

    def crash_after_the_first(store, batch):
        if written:
            raise OSError("killed")
        written.append(len(batch))
        write(store, batch)

    values = [(b"%d" % n, bytes(SLICE_BYTES // 2)) for n in range(5)]
    stores[0].write([(b"0", b"old")], 7)
    monkeypatch.setattr(PartitionStore, "_write", crash_after_the_first)
    with pytest.raises(OSError, match="killed"):
        stores[0].write(values, 12, rest=0.01)
    assert written == [2]
    assert stores[0].changelog_offset() == 7
    monkeypatch.undo()
    stores[0].write(values, 12)
    assert list(stores[0].items()) == values
    assert stores[0].changelog_offset() == 12


KILLED = """
import os, sys
from pathlib import Path
import rocksdict
from stream.storage.rocks import PartitionStores
stores = PartitionStores(Path(sys.argv[1]), rocksdict.Cache(1 << 20), rocksdict.WriteBufferManager(1 << 20, False))
for n in range(50):
    stores[0].write([(b"a", b"%d" % n), (b"b", b"%d" % n)], n)
os.kill(os.getpid(), 9)
"""


def test_after_a_kill_the_values_and_the_offset_are_of_the_same_batch(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=DEADLINE_S, check=False)
    assert done.returncode == -9
    stores = PartitionStores(tmp_path, rocksdict.Cache(MIB), rocksdict.WriteBufferManager(MIB, False))
    offset = stores[0].changelog_offset()
    assert offset == 49
    assert stores[0].get_many([b"a", b"b"]) == [b"%d" % offset] * 2
    stores.close_all()


def test_a_closed_store_can_be_opened_by_another_process_and_an_open_one_cannot(tmp_path):
    stores = PartitionStores(tmp_path, rocksdict.Cache(MIB), rocksdict.WriteBufferManager(MIB, False))
    held = stores[3]  # so that it is closed by `close`, not by being forgotten
    held.write([(b"a", b"1")], 5)
    with pytest.raises(Exception, match=r"(?i)lock"):
        PartitionStore(tmp_path / "3.db", rocksdict.Options(raw_mode=True))
    stores.close(3)
    assert list(stores) == []
    reader = (
        "import sys, rocksdict; from pathlib import Path; from stream.storage.rocks import PartitionStore\n"
        "store = PartitionStore(Path(sys.argv[1]), rocksdict.Options(raw_mode=True))\n"
        "assert (store.get_many([b'a']), store.changelog_offset()) == ([b'1'], 5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", reader, str(tmp_path / "3.db")],
        timeout=DEADLINE_S, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert stores[3].get_many([b"a"]) == [b"1"]
    stores.close_all()


def test_a_store_is_opened_once_and_closing_what_is_not_open_does_nothing(stores):
    assert stores[2] is stores[2]
    assert list(stores) == [2]
    stores.close(7)
    stores.close(2)
    stores.close(2)
    assert list(stores) == []


def test_a_wiped_partition_is_empty_and_usable_and_the_others_stay(stores):
    for partition in (0, 1):
        stores[partition].write([(b"a", b"1")], 9)
    stores.wipe(0)
    stores.wipe(5)
    assert stores[0].get_many([b"a"]) == [None]
    assert stores[0].changelog_offset() is None
    assert stores[1].changelog_offset() == 9
    stores[0].write([(b"a", b"2")], 0)
    assert stores[0].get_many([b"a"]) == [b"2"]


def test_sizes_are_numbers_that_grow(stores):
    before = stores[0].size_bytes()
    assert stores[0].key_count() == 0
    stores[0].write([(b"%d" % n, bytes(1000)) for n in range(1000)], 999)
    assert stores[0].size_bytes() > before
    assert 900 <= stores[0].key_count() <= 1100


def test_a_second_worker_on_the_same_directory_is_told_to_take_its_own(tmp_path):
    first = DataDirectory(tmp_path / "data", MIB, MIB)
    owner = (tmp_path / "data" / "lock").read_text()
    with pytest.raises(UsageError, match="in use by another process") as refused:
        DataDirectory(tmp_path / "data", MIB, MIB)
    assert "--data-dir" in refused.value.fix
    assert (tmp_path / "data" / "lock").read_text() == owner != ""
    first.close()
    DataDirectory(tmp_path / "data", MIB, MIB).close()


def test_the_lock_ends_with_its_process(tmp_path):
    holder = (
        "import os, sys; from pathlib import Path; from stream.storage.rocks import DataDirectory\n"
        "kept = DataDirectory(Path(sys.argv[1]), 1 << 20, 1 << 20); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", holder, str(tmp_path)], timeout=DEADLINE_S, check=False)
    assert done.returncode == -9
    DataDirectory(tmp_path, MIB, MIB).close()


def test_a_directory_that_cannot_be_made_is_named_with_its_fix(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written") as refused:
        DataDirectory(tmp_path / "file" / "data", MIB, MIB)
    assert "--data-dir" in refused.value.fix


def damage(directory: Path, pattern: str) -> None:
    """Overwrite bytes in the middle of the files."""
    for path in directory.glob(pattern):
        content = bytearray(path.read_bytes())
        middle = len(content) // 3
        content[middle : middle + 20] = b"\xa5" * 20
        path.write_bytes(content)


def filled(tmp_path: Path) -> Path:
    """A closed store with all its values in a file."""
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    stores = directory.stores("users")
    stores[0].write([(b"k%d" % i, random.Random(i).randbytes(100)) for i in range(2000)], 9)
    stores[0]._db.flush()
    stores.close_all()
    directory.close()
    return tmp_path / "users" / "0.db"


def test_a_store_that_cannot_be_opened_is_rebuilt_from_nothing_with_a_warning(tmp_path, caplog):
    damage(filled(tmp_path), "CURRENT")
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    stores = directory.stores("users")
    assert stores[0].changelog_offset() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "0.db is damaged: rebuilding it from the changelog" in caplog.text
    stores.close_all()
    directory.close()


def test_where_rocksdb_forgives_damage_values_and_their_offset_are_gone_together(tmp_path):
    damage(filled(tmp_path), "MANIFEST*")  # taken for a torn write, which is dropped
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    stores = directory.stores("users")
    assert (stores[0].changelog_offset(), stores[0].get_many([b"k1"])) == (None, [None])
    stores.close_all()
    directory.close()


def test_a_store_found_damaged_stops_the_worker_and_is_rebuilt_at_the_next_start(tmp_path, caplog):
    damage(filled(tmp_path), "*.sst")
    for start in range(2):
        directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
        stores = directory.stores("users")
        keys = [b"k%d" % i for i in range(2000)]
        if start == 0:
            with pytest.raises(StorageError, match="it is rebuilt from the changelog at the next start"):
                stores[0].get_many(keys)
        else:
            assert stores[0].changelog_offset() is None
            assert stores[0].get_many(keys) == [None] * 2000
            assert "was found damaged" in caplog.text
        stores.close_all()
        directory.close()


def test_a_store_that_cannot_be_opened_for_another_reason_is_left_alone(tmp_path):
    path = filled(tmp_path)
    directory = DataDirectory(tmp_path, 8 * MIB, 8 * MIB)
    holder, second = directory.stores("users"), directory.stores("users")
    assert holder[0].changelog_offset() == 9
    with pytest.raises(StorageError, match="could not be opened"):  # RocksDB's own lock
        second[0].changelog_offset()
    holder.close_all()
    assert list(path.glob("*.sst"))
    directory.close()
