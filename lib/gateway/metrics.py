"""What the gateway counts, for Prometheus: by role and key, never what was said."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lib.gateway.lanes import Lane

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        here = self.registry = CollectorRegistry()
        count, times = partial(Counter, registry=here), partial(Histogram, buckets=SECONDS, registry=here)
        gauge = partial(Gauge, registry=here)
        self.requests = count("gateway_requests", "Answers, by status", ["role", "key", "status"])
        self.tokens = count("gateway_tokens", "Tokens as engines tell them", ["role", "key", "kind"])
        self.events = count("gateway_stream_events", "Events of streamed answers", ["role", "key"])
        self.ttft = times("gateway_ttft_seconds", "Request to first byte of the answer", ["role"])
        self.queue = times("gateway_queue_seconds", "Wait for an engine", ["role"])
        self.swaps = count("gateway_swaps", "Changes of a card, by who came", ["engine"])
        self.swap_seconds = times("gateway_swap_seconds", "What a change took", ["engine"])
        self.failovers = count("gateway_failovers", "Answers of another engine than the first", ["role", "engine"])
        self.broken = count("gateway_broken_answers", "Answers that ended too early, by who ended them", ["role", "by"])
        self.refused = count("gateway_refused_keys", "Requests without a valid key")
        self.running = gauge("gateway_running_requests", "Requests that an engine works on", ["engine"])
        self.waiting = gauge("gateway_waiting_requests", "Requests that wait for an engine", ["engine"])
        self.awake = gauge("gateway_engine_awake", "1: on its card", ["engine"])
        self.fault = gauge("gateway_engine_fault", "1: failed, and not well again yet", ["engine"])

    def watch(self, lane: Lane) -> None:
        """Have the gauges of an engine read when they are asked for."""
        self.running.labels(lane.name).set_function(lambda: float(lane.running))
        self.waiting.labels(lane.name).set_function(lambda: float(len(lane.waiting)))
        self.awake.labels(lane.name).set_function(lambda: float(lane.state == "awake"))
        self.fault.labels(lane.name).set_function(lambda: float(bool(lane.fault)))

    def text(self) -> bytes:
        """Return everything in Prometheus's format."""
        return bytes(generate_latest(self.registry))
