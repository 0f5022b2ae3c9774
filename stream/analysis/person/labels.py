"""The words around the reasons on the screen of `penchant explain`, by language, as the reasons themselves."""

from __future__ import annotations

from typing import Final, NamedTuple

from models.ranking.features import PARTS
from models.ranking.rank import FEEDBACK
from models.vocabulary import ACTIONS


class Labels(NamedTuple):
    """Texts, some with places for numbers and titles."""

    head: str
    used: str
    without_texts: str
    none: str
    not_in_list: str
    nothing: str
    weaker: str
    not_rewritten: str
    template: str
    looked_at: str
    without_it: str
    others_alone: str
    residual: str
    of_nobody: str
    without: str
    hangs_on: str
    no_fewer: str
    maybe_fewer: str
    nothing_instead: str
    as_if: str
    as_if_without: str
    as_if_with: str
    between: str
    """Between titles."""
    parts: dict[str, str]
    actions: dict[str, str]


_ENGLISH: Final = Labels(
    head="{events}, {items} ranked from",
    used="ranker {ranker}, sequence {sequence}, {texts}",
    without_texts="without texts (the part interest is left out)",
    none="none",
    not_in_list="not in the list",
    nothing="nothing to recommend",
    weaker="weaker ones together",
    not_rewritten="not rewritten: {why}",
    template="template: {text}",
    looked_at="what the sequence model looked at (leave-one-out, does not add up)",
    without_it="without it {value:+8.3f}  {when}  {title}",
    others_alone="           {value:+8.3f}  {events}, each alone",
    residual="residual   {value:+8.3f}  what single events do not tell apart",
    of_nobody="           {value:+8.3f}  with no event at all",
    without="Without ",
    hangs_on=": {instead} instead of {leader} ({least}).",
    no_fewer="no fewer items would do",
    maybe_fewer="fewer items might do",
    nothing_instead="nothing",
    as_if="As if: {what}.",
    as_if_without="without {names}",
    as_if_with="with a click on {names}",
    between=", ",
    parts={},
    actions={},
)

_CHINESE: Final = Labels(
    head="{events}，排序依据{items}",
    used="排序模型 {ranker}，序列模型 {sequence}，{texts}",
    without_texts="未读取文本（不含“兴趣”一项）",
    none="无",
    not_in_list="不在列表中",
    nothing="没有可推荐的",
    weaker="其余较弱的合计",
    not_rewritten="未改写：{why}",
    template="模板：{text}",
    looked_at="序列模型看了什么（逐一去掉，不可相加）",
    without_it="去掉它 {value:+8.3f}  {when}  {title}",
    others_alone="       {value:+8.3f}  {events}，各自去掉",
    residual="余量   {value:+8.3f}  单个行为分不开的部分",
    of_nobody="       {value:+8.3f}  没有任何行为时",
    without="如果没有",
    hangs_on="：排在首位的是{instead}，而不是{leader}（{least}）。",
    no_fewer="再少就不够",
    maybe_fewer="也许更少就够",
    nothing_instead="无",
    as_if="假设：{what}。",
    as_if_without="没有{names}",
    as_if_with="点击了{names}",
    between="、",
    parts=dict(
        zip(
            (*PARTS, FEEDBACK),
            ("共同出现", "兴趣", "序列", "情境", "趋势", "热度", "上架时间", "策略反馈"),
            strict=True,
        )
    ),
    actions=dict(zip(ACTIONS, ("浏览", "点击", "喜欢", "不喜欢", "加购", "购买", "展示", "搜索", "退货"), strict=True)),
)

_NOUNS: Final = {
    "event": ("event", "次行为"),
    "item": ("item", "件商品"),
    "other event": ("other event", "次其他行为"),
}


def labels_of(lang: str) -> Labels:
    """Of the option `--lang`; English where there are none of a language."""
    return _CHINESE if lang == "zh" else _ENGLISH


def counted(lang: str, number: int, noun: str) -> str:
    """`1 event`, `1,200 events`, `1,200次行为`."""
    english, chinese = _NOUNS[noun]
    return f"{number:,}{chinese}" if lang == "zh" else f"{number:,} {english}{'' if number == 1 else 's'}"
