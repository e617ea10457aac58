"""Jobs in threads: all are done, however many threads there may be, and a failure stops the rest."""

import threading

import pytest

from macgen.emulate.side_by_side import side_by_side


@pytest.mark.parametrize("threads", [1, 3, 40])
@pytest.mark.parametrize("allowed", [0, 1, 100])
def test_every_job_is_done_once_though_the_system_refuses_threads(threads, allowed, monkeypatch):
    done, started, start = [], [], threading.Thread.start

    def refusing(thread):
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    side_by_side([(done.append, (number,)) for number in range(20)], threads)
    assert sorted(done) == list(range(20))
    assert len(started) == min(allowed, threads - 1, 19)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_drops_what_has_not_begun(error, threads):
    done = []

    def fail():
        raise error

    with pytest.raises(error):
        side_by_side([(fail, ()), *[(threading.Event().wait, (0.01,)), (done.append, (1,))] * 100], threads)
    assert len(done) < 5
    assert threading.active_count() == 1


def test_a_failure_in_another_thread_is_raised():
    failed = threading.Event()

    def job(caller):
        if threading.current_thread() is caller:
            assert failed.wait(10)
        else:
            failed.set()
            raise MemoryError

    with pytest.raises(MemoryError):
        side_by_side([(job, (threading.current_thread(),))] * 2, 2)
