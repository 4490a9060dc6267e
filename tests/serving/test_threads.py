"""The main thread is lent to one function after another, and what ends the other thread ends it too."""

from __future__ import annotations

import threading

import pytest
import torch

from softprompt.serving.threads import MainThread, alone, spawn


def test_what_is_launched_runs_in_the_thread_that_waits_and_who_comes_meanwhile_gets_another() -> None:
    main, ran, here = MainThread(), {}, threading.current_thread()
    let_go = threading.Event()

    def note(name: str, wait: bool = False) -> None:
        ran[name] = threading.current_thread()
        assert not wait or let_go.wait(10)

    def other() -> None:
        first = main.launch(lambda: note("first", wait=True), "first")
        main.launch(lambda: note("second"), "second").join(10)
        let_go.set()
        first.join(10)
        main.launch(lambda: note("third"), "third").join(10)

    main.beside(other, "http")
    assert ran["first"] is ran["third"] is here
    assert ran["second"] is not here


def test_an_error_of_the_other_thread_comes_out() -> None:
    def other() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        MainThread().beside(other, "http")


def test_a_spawned_function_can_be_waited_for() -> None:
    done = threading.Event()
    spawn(done.set, "x").join(10)
    assert done.is_set()


def test_a_thread_that_computes_alone_changes_no_other() -> None:
    before, seen = torch.get_num_threads(), []

    def look() -> None:
        alone()
        seen.append(torch.get_num_threads())

    spawn(look, "reader").join(10)
    assert seen == [1]
    assert torch.get_num_threads() == before
