"""The part of the dashboard about people: are they served as was promised, and what do they get?"""

from __future__ import annotations

from typing import Final

from panel import ATTENTION, BAD, GOOD, Panel, Row, quantile, rate, stat

FRESHNESS: Final = "penchant_event_to_recommendation_seconds"
OBJECTIVES: Final = Row(
    "Objectives: is anybody badly served?",
    (
        stat(
            "Lists in time",
            "Share of lists within 2.5 s of their event, over an hour. Objective 99 %. Below it: see Freshness and Owed users.",
            '1 - max(penchant:slo_errors:ratio_rate1h{$by_job,slo="freshness"})',
            "percentunit",
            ((0.97, ATTENTION), (0.99, GOOD)),
            BAD,
        ),
        stat(
            "Requests answered",
            "Share of what `penchant serve` was asked that it answered, over an hour. Objective 99.9 %.",
            '1 - max(penchant:slo_errors:ratio_rate1h{$by_job,slo="availability"})',
            "percentunit",
            ((0.995, ATTENTION), (0.999, GOOD)),
            BAD,
        ),
        stat(
            "Lists complete",
            "Share of lists made of all that is stored, with reasons that add up, over an hour. Objective 99.9 %.",
            '1 - max(penchant:slo_errors:ratio_rate1h{$by_job,slo="correctness"})',
            "percentunit",
            ((0.995, ATTENTION), (0.999, GOOD)),
            BAD,
        ),
        stat(
            "Alerts firing",
            "Each has a page in the runbook.",
            'count(ALERTS{alertname=~"Penchant.*",alertstate="firing"}) or vector(0)',
            "short",
            ((1, BAD),),
        ),
        stat(
            "Not ready",
            "Workers and processes of `penchant serve` that answer 503. During a rollout one at a time is as it should be.",
            "count(penchant_ready{$of} == 0) or vector(0)",
            "short",
            ((1, ATTENTION), (2, BAD)),
        ),
        stat(
            "Oldest commit",
            "Since the last durable commit of the worker that is worst. Several commit_interval_s: nothing becomes durable.",
            'max(penchant_commit_age_seconds{$of} and on (job, instance) penchant_ready{role="worker"})',
            "s",
            ((10, ATTENTION), (60, BAD)),
        ),
        Panel(
            "How fast the error budgets burn",
            "Errors over an hour as a multiple of what the objective allows. 1: used up in 30 days. 14.4: in two, and somebody "
            "is called.",
            (
                ('max(penchant:slo_errors:ratio_rate1h{$by_job,slo="freshness"}) / 0.01', "freshness"),
                ('max(penchant:slo_errors:ratio_rate1h{$by_job,slo="availability"}) / 0.001', "availability"),
                ('max(penchant:slo_errors:ratio_rate1h{$by_job,slo="correctness"}) / 0.001', "correctness"),
            ),
            steps=((1, ATTENTION), (14.4, BAD)),
            width=12,
        ),
        Panel(
            "Freshness",
            "From an event's Kafka timestamp to the list that reflects it; without lists that were owed.",
            (
                (quantile(0.5, FRESHNESS), "half"),
                (quantile(0.99, FRESHNESS), "99 %"),
                (quantile(0.99, "penchant_owed_list_seconds"), "99 % of owed lists"),
            ),
            "s",
            steps=((1, ATTENTION), (2.5, BAD)),
            width=12,
        ),
    ),
)
OUTPUT: Final = Row(
    "Output: what people get",
    (
        Panel(
            "Lists",
            "Published, a second.",
            ((rate("penchant_recommendations_total", "trigger"), "{{trigger}}"),),
            "ops",
        ),
        Panel(
            "Waiting and owed",
            "People who wait for a list; owed: it could not be made in time and comes when there is an idle moment.",
            (("sum(penchant_refresh_event_users{$of})", "waiting"), ("sum(penchant_owed_users{$of})", "owed")),
            steps=((1000, ATTENTION),),
        ),
        Panel(
            "Owed lists",
            "Share of lists that could not be made within list_deadline_s. Minutes of it: add workers.",
            (("penchant:lists_late:ratio_rate5m{$by_job}", "{{job}}"),),
            "percentunit",
            steps=((0.01, ATTENTION), (0.1, BAD)),
        ),
        Panel(
            "Hit rate",
            "Of what people took for the first time, the share that stood among the first ten of their list.",
            (
                ("penchant:hit_rate:ratio_rate6h{$by_job}", "6 hours {{job}}"),
                ("penchant:hit_rate:ratio_rate7d{$by_job}", "7 days {{job}}"),
            ),
            "percentunit",
        ),
        Panel(
            "Places by strategy",
            "Share of the places of lists. `explore` is bounded by the settings.",
            (
                (
                    rate("penchant_places_total", "strategy")
                    + " / ignoring (strategy) group_left sum(rate(penchant_places_total{$of}[$__rate_interval]))",
                    "{{strategy}}",
                ),
                ("max(penchant_explore_share_max{$of})", "explore, at most"),
            ),
            "percentunit",
        ),
        Panel(
            "Quarantine and residual",
            "Users who went without something; and how far score and the sum of its reasons are apart (99 % of batches).",
            (
                (rate("penchant_quarantined_total", "cause"), "{{cause}}"),
                (quantile(0.99, "penchant_completeness_gap"), "residual"),
            ),
            steps=((1e-6, BAD),),
        ),
    ),
)
