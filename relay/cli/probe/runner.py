"""Run the steps of a probe in sequence until a vital step fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from ...client.dial import printable
from .attempt import Attempt, Plan
from .client import ProbeClient
from .hints import Failure, hint_for
from .steps import Figures, Step, steps_for

GRACE: Final = 1.0
"""Maximum time, in seconds, that `root_cause` waits for both sides to end."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a step."""

    name: str
    ok: bool | None
    """True if the step succeeded, False if a vital step failed, None if any other step failed."""
    seconds: float
    figures: Figures = field(default_factory=dict)
    error: str = ""
    hint: str = ""
    answered_by: str = ""
    """Sender of a response other than 101: ``relay`` or ``other``; "" without such a response."""


async def run_probe(plan: Plan, report: Callable[[Result], None]) -> list[Result]:
    """Run the steps of a plan until a vital step fails; report and return the results.

    If ``report`` raises an exception, this function raises it in an exception group. Cancellation
    closes the connections without a closing handshake.
    """
    results = []
    async with trio.open_nursery() as nursery:
        attempt = Attempt(plan, nursery)
        for step in steps_for(plan):
            result = await run_step(step, attempt)
            results.append(result)
            report(result)
            if result.ok is False:
                break
        nursery.cancel_scope.cancel()
    return results


async def run_step(step: Step, attempt: Attempt) -> Result:
    """Run one step and return its result."""
    plan = attempt.plan
    limit = plan.timeout + (plan.idle if step.phase == "idle" else 0)
    began = trio.current_time()
    try:
        with trio.fail_after(limit):
            figures = await step.run(attempt)
    except Failure as error:
        failure = error
    except trio.TooSlowError:
        missing = f"no {attempt.awaited.what}"
        failure = Failure(f"{missing} within {plan.timeout:g} s", missing, "timeout")
    except Exception as error:  # noqa: BLE001 - any exception is a failure of the step
        message = printable(" ".join(str(error).split()))
        failure = Failure(f"{type(error).__name__}: {message}")
    else:
        return Result(step.name, True, trio.current_time() - began, figures)
    seconds = trio.current_time() - began
    if step.phase != "close":
        failure = await root_cause(failure, attempt.sides)
    hint = hint_for(step.phase, failure, seconds)
    ok = False if step.vital else None
    return Result(step.name, ok, seconds, {}, failure.text, hint, failure.answered_by)


async def root_cause(failure: Failure, sides: Sequence[ProbeClient]) -> Failure:
    """Return the failure that ended the pair if it explains ``failure``; otherwise ``failure``.

    If a side's connection fails, the step that is running may see only a timeout or the end of the
    other side.
    """
    if not {"closed", "timeout"} & {*failure.causes}:
        return failure
    with trio.move_on_after(GRACE):
        for side in sides:
            await side.ended.wait()
    for side in sides:
        if side.failure is not None and not side.failure.causes[0].endswith("peer disconnected"):
            return side.failure
    return failure
