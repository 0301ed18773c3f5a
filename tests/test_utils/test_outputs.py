"""Files and work directories that a run writes to."""

import errno
import os
import signal
import subprocess
import sys
import tempfile

import pytest
from light_imports import without_init

from mmtad_decomp.utils import (
    OutputPathError,
    WorkDirInUseError,
    WorkDirLock,
    atomic,
    atomic_write,
    demand_writable,
    work_dir,
    write_json,
)
from tools.command_line import sentence_of


def test_a_file_that_can_be_written_is_not_made(tmp_path):
    demand_writable(tmp_path / 'new' / 'folder' / 'a.json', '--out')
    (tmp_path / 'a.json').write_text('before')
    demand_writable(tmp_path / 'a.json', '--out')
    assert [file.name for file in tmp_path.iterdir()] == ['a.json']


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OutputPathError, match=rf'--out {tmp_path}/file/a\.json: .*is no folder'):
        demand_writable(tmp_path / 'file' / 'a.json', '--out')
    with pytest.raises(OutputPathError, match='is a folder; name a file'):
        demand_writable(tmp_path, '--out')
    with pytest.raises(OutputPathError, match='is a device or a pipe; name a file'):
        demand_writable(os.devnull, '--out')
    name = 'x' * 256
    for path in (tmp_path / name, tmp_path / 'new' / name):
        with pytest.raises(OutputPathError, match=r'cannot be written .*choose another place'):
            demand_writable(path, '--out')
    assert [file.name for file in tmp_path.iterdir()] == ['file']


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='a folder of Linux')
@pytest.mark.parametrize('path', ['/proc/a.json', '/proc/new/a.json', '/sys/a.json'])
def test_a_folder_that_takes_no_files_is_refused_whoever_asks(path):
    """Root may write to it, says the operating system."""
    with pytest.raises(OutputPathError, match=rf'--out {path}: /\w+ cannot be written \('):
        demand_writable(path, '--out')


def _refusal(path):
    """Message of :func:`demand_writable` in a child that has not the rights of root."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            demand_writable(path, '--out')
        except OutputPathError as error:
            os.write(sink, str(error).encode())
        finally:
            os._exit(0)
    os.close(sink)
    os.waitpid(child, 0)
    with open(source) as pipe:
        return pipe.read()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs POSIX')
def test_a_folder_without_permission_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        path = os.path.join(folder, 'a.json')
        assert _refusal(path) == (
            f'--out {path}: {folder} cannot be written (Permission denied); choose another place'
        )
        os.chmod(folder, 0o777)
        assert _refusal(path) == ''


def test_a_full_disk_is_one_sentence_that_names_the_file(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'before')
    with pytest.raises(OSError) as caught, atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    text = sentence_of(caught.value)
    assert text.startswith(f'No space left on device; {path} is as before; free some space')
    with pytest.raises(OSError) as caught, atomic_write(tmp_path):
        pass  # the system's error names the temporary file
    assert f'Is a directory; {tmp_path} is as before' in str(caught.value)
    assert path.read_bytes() == b'before' and len(list(tmp_path.iterdir())) == 1


def _killed_writer(path):
    """Leave what a process leaves that is killed while it writes a file."""
    child = os.fork()
    if child == 0:
        with atomic_write(path) as file:
            file.write(b'half')
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs POSIX')
def test_files_of_killed_writers_go_and_a_folder_is_listed_once(tmp_path, monkeypatch):
    (tmp_path / '.of_a_user.tmp').touch()
    (tmp_path / f'.b.{os.getpid()}-{atomic._machine()}-01234567.tmp').touch()  # is being written
    _killed_writer(tmp_path / 'a.json')
    assert len(list(tmp_path.iterdir())) == 3
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, 'scandir', lambda path: listed.append(path) or scandir(path))
    for name in ('b', 'c', 'd'):
        write_json(tmp_path / name, name)
    assert listed == [tmp_path]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 5 and names[1:] == ['.of_a_user.tmp', 'b', 'c', 'd']


def test_a_work_directory_has_one_user(tmp_path):
    refused = pytest.raises(WorkDirInUseError, match=rf'in use by .* training .*{os.getpid()}\)')
    with WorkDirLock(tmp_path), refused:
        WorkDirLock(tmp_path)
    WorkDirLock(tmp_path).release()


@pytest.mark.parametrize('seconds, works', [(0.6, True), (30, False)])
def test_what_a_killed_user_left_is_waited_for(tmp_path, seconds, works, monkeypatch):
    """Data loader workers of a killed training inherit its lock, and end some seconds later."""
    monkeypatch.setattr(work_dir, '_PATIENCE', 3.0 if works else 0.5)
    holder = without_init('mmtad_decomp', 'mmtad_decomp.utils') + (
        'import os, subprocess\n'
        'from mmtad_decomp.utils.work_dir import WorkDirLock\n'
        'lock = WorkDirLock(sys.argv[1])\n'
        'settings = dict(pass_fds=[lock.file.fileno()], stdout=subprocess.DEVNULL)\n'
        'child = subprocess.Popen(["sleep", sys.argv[2]], **settings)\n'
        'print(child.pid, flush=True)\n'
        'os.kill(os.getpid(), 9)\n'
    )
    command = [sys.executable, '-c', holder, str(tmp_path), str(seconds)]
    child = int(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)
    try:
        if works:
            WorkDirLock(tmp_path).release()
        else:
            with pytest.raises(WorkDirInUseError):
                WorkDirLock(tmp_path)
    finally:
        if not works:
            os.kill(child, 9)
