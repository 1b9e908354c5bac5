"""Pure parts of the benchmark: frames, results, and the rule of its gate."""

from __future__ import annotations

import pytest

from benchmarks import figures, gate, scale
from benchmarks.frames import (
    CLOSE,
    CONTINUATION,
    MASK,
    FrameError,
    Message,
    Receiver,
    apply_mask,
    frame,
    parse_header,
    payload_of,
)

PING = 0x9


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_parses_back(size: int, masked: bool) -> None:
    """A frame of every length form has its payload, masked or not."""
    payload = bytes(range(256)) * 256
    built = frame(payload[:size], masked=masked)
    header = parse_header(built)
    assert header is not None
    assert (header.final, header.payload_size) == (True, size)
    assert header.key == (MASK if masked else b"")
    assert payload_of(built) == payload[:size]


def test_a_header_that_is_cut_off_is_not_parsed() -> None:
    """No prefix of a header is parsed as a header."""
    header_size = 14
    built = frame(bytes(70000), masked=True)
    assert [parse_header(built[:cut]) for cut in range(header_size)] == [None] * header_size
    assert parse_header(built[:header_size]) is not None


def test_masking_undoes_itself_and_leaves_nothing_plain() -> None:
    """Each byte is XORed with its byte of the key."""
    assert apply_mask(b"\0" * 6, MASK) == MASK + MASK[:2]
    assert apply_mask(apply_mask(b"payload", MASK), MASK) == b"payload"


def test_a_message_is_sent_masked_and_arrives_plain_or_as_it_was_sent() -> None:
    """A relay unmasks the messages that it forwards; a splice does not."""
    through_a_relay = Message.of_size(100, unmasked_on_the_way=True)
    through_a_splice = Message.of_size(100, unmasked_on_the_way=False)
    assert through_a_relay.payload == through_a_splice.payload
    assert through_a_relay.arriving == frame(through_a_relay.payload, masked=False)
    assert through_a_splice.arriving == through_a_splice.sent


@pytest.mark.parametrize("chunk", [1, 3, 101, 102, 103, 4096, 1 << 20])
@pytest.mark.parametrize("unmasked", [True, False])
def test_a_receiver_counts_in_any_chunks(chunk: int, unmasked: bool) -> None:
    """The count is the same for every division of the stream into chunks."""
    message = Message.of_size(100, unmasked_on_the_way=unmasked)
    receiver, stream = Receiver(message.arriving), message.arriving * 3000
    fed = sum(receiver.feed(stream[at : at + chunk]) for at in range(0, len(stream), chunk))
    assert fed == receiver.messages == 3000
    assert receiver.payload_bytes == 300_000


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_receiver_counts_fragments_as_one_message(chunk: int) -> None:
    """Fragments, an empty last one, and pings between them do not change the count."""
    message = Message.of_size(100, unmasked_on_the_way=True)
    fragments = (
        frame(message.payload[:60], masked=False, final=False)
        + frame(b"still there?", masked=False, opcode=PING)
        + frame(message.payload[60:], masked=False, opcode=CONTINUATION, final=False)
        + frame(b"", masked=False, opcode=CONTINUATION)
    )
    stream = (message.arriving * 50 + fragments) * 20
    receiver = Receiver(message.arriving)
    for at in range(0, len(stream), chunk):
        receiver.feed(stream[at : at + chunk])
    assert receiver.messages == 51 * 20
    assert receiver.payload_bytes == 51 * 20 * 100
    assert payload_of(fragments) == message.payload


def test_a_close_frame_is_an_error_to_a_receiver() -> None:
    """A relay that closes during a load is not measured as fast."""
    with pytest.raises(FrameError):
        Receiver(frame(b"x", masked=False)).feed(frame(b"", masked=False, opcode=CLOSE))


def test_joining_a_stream_that_is_cut_off_is_an_error() -> None:
    """Content is compared only once all of it has arrived."""
    with pytest.raises(FrameError):
        payload_of(frame(b"x", masked=False) + b"\x82")


def test_percentiles_are_by_nearest_rank() -> None:
    """A percentile is the smallest value that the share of all values reaches."""
    values = [float(number) for number in range(1, 101)]
    assert figures.percentile(values, 0.5) == 50
    assert figures.percentile(values, 0.99) == 99
    assert figures.percentile(values, 0.999) == 100
    assert figures.percentile([7.0], 0.5) == 7
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)


def test_latencies_are_in_microseconds() -> None:
    """Latencies may be in any order; the input is in seconds."""
    assert figures.latencies([0.003, 0.001, 0.002]) == {
        "p50": pytest.approx(2000),
        "p99": pytest.approx(3000),
        "p99.9": pytest.approx(3000),
    }


def test_medians_leave_failures_out() -> None:
    """A failed round neither counts nor hides the others."""
    samples = [
        figures.Sample("small", 100, "a", number, {"rate": rate})
        for number, rate in enumerate((5.0, 1.0, 3.0))
    ]
    failed = figures.Sample("small", 100, "a", 3, failure="hung up")
    other = figures.Sample("small", 100, "b", 0, failure="hung up")
    assert figures.medians([*samples, failed, other]) == {("small", 100, "a"): {"rate": 3.0}}


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [(6.0, 3.0, 2.0), (None, 3.0, None), (6.0, None, None), (6.0, 0.0, None), (-1.0, 3.0, None)],
)
def test_a_ratio_is_only_of_what_is_known_and_positive(
    value: float | None, reference: float | None, expected: float | None
) -> None:
    """A missing result or a negative difference has no ratio."""
    assert figures.ratio(value, reference) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "-"), (0.123456, "0.123"), (99.96, "100"), (12345.6, "12,346")]
)
def test_results_have_three_digits(value: float | None, expected: str) -> None:
    """A result has no more digits than its precision."""
    assert figures.readable(value) == expected


BOUND = gate.Bound("small", 100, "CPU/message", "yardstick", baseline=0.1)


@pytest.mark.parametrize(
    ("ours", "passed"), [(0.5, True), (1.0, True), (2.0, True), (2.01, False), (20.0, False)]
)
def test_the_gate_stops_only_what_is_worse_than_half(ours: float, passed: bool) -> None:
    """Noise passes, even twice the recorded cost; the loss of a fast path does not."""
    medians = {
        ("small", 100, gate.OURS): {"CPU/message": ours},
        ("small", 100, "yardstick"): {"CPU/message": 10.0},
    }
    (verdict,) = gate.compare(medians, [BOUND])
    assert verdict.measured == pytest.approx(ours / 10)
    assert verdict.passed is passed


@pytest.mark.parametrize("missing", [gate.OURS, "yardstick"])
def test_the_gate_does_not_pass_what_was_not_measured(missing: str) -> None:
    """A relay that does not start does not pass."""
    medians = {
        ("small", 100, peer): {"CPU/message": 1.0}
        for peer in (gate.OURS, "yardstick")
        if peer != missing
    }
    (verdict,) = gate.compare(medians, [BOUND])
    assert verdict.measured is None
    assert not verdict.passed


def test_gain_is_the_ratio_of_the_rates() -> None:
    """The gain uses the medians of the rates; it is missing if one count was not measured."""
    workload = scale.SCALED[0]
    samples = [
        figures.Sample(workload.name, workload.points[0], count, number, {"rate": rate})
        for count, rates in (("1", (9.0, 10.0, 99.0)), ("2", (15.0, 1.0, 16.0)))
        for number, rate in enumerate(rates)
    ]
    assert scale.gain(workload, samples) == ([{"rate": 10.0}, {"rate": 15.0}], 1.5)
    assert scale.gain(workload, samples[:3]) == ([{"rate": 10.0}, {}], None)


def test_the_balancer_has_a_line_for_each_relay() -> None:
    """The lines have different names and ports, and follow their section."""
    *section, first, second = scale.configuration([1001, 1002]).splitlines()
    assert "balance url_param pair" in "".join(section)
    assert first.split() == ["server", "relay1", "127.0.0.1:1001", "weight", "100"]
    assert second.split() == ["server", "relay2", "127.0.0.1:1002", "weight", "100"]
