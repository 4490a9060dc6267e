"""A frozen encoder-decoder model (T5, mT5) behind a soft prompt, with the surface of `backbone.CausalBackbone`.

The prompt's vectors stand at the two ends of the encoder's input: `[prefix][head, input, cue, end token][suffix]`. The
encoder looks both ways, so nothing in front of a row can be shared between rows: it reads each row with its prompt, in
buckets of similar length. Logits are taken at label positions only.

Does not cover: keys and values per layer (deep prompts), other families (BART, Pegasus …). Does not know templates,
optimizers or files, and does not choose tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from softprompt.catalogue import SEQ2SEQ
from softprompt.engine.decoding import Group
from softprompt.engine.embedding_scale import root_mean_square
from softprompt.engine.packing import Packed, Row, pack
from softprompt.engine.precision import answer_in_blocks
from softprompt.engine.seq2seq_decoding import Seq2SeqState, filled
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softprompt.engine.attention import PrefixCache

TRAINED_LENGTH = 512
"""Tokens of the texts that T5 models were made with, where the tokenizer does not say."""

PADDING_LIMIT = 1.3
"""A bucket of rows holds at most that many places per token."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder made of a batch.

    Attributes:
        hidden: `[B, E, H]` its output; E covers the longest row with its prompt.
        mask: `[B, E]` which places hold something.
        packed: the rows without what stands in front of them, as label readouts want them.
        tapped: `[N, H]` outputs of the tapped encoder layers, packed like `packed`.
    """

    hidden: Tensor
    mask: Tensor
    packed: Packed
    tapped: dict[int, Tensor]


@dataclass(frozen=True)
class Seq2SeqBackbone:
    """A frozen encoder-decoder model.

    Rows come from an `Encoder` with `share_head=False`: whole prompts with the end token behind the cue.

    Attributes:
        model: `T5ForConditionalGeneration` or `MT5ForConditionalGeneration` of the transformers library.
        tokenizer: its tokenizer.
        model_id: the catalogue's id, or a path.
        path: the folder it was loaded from.
    """

    model: Any
    tokenizer: Any
    model_id: str = ""
    path: Path | None = None
    kind: ClassVar[Literal["seq2seq"]] = "seq2seq"
    lean: ClassVar[bool] = False

    def __post_init__(self) -> None:
        name, family = self.model_id or type(self.model).__name__, self.model.config.model_type
        if family not in SEQ2SEQ:
            raise ModelUnsupported(
                f"{name}: encoder-decoder models of the family {family!r} are not supported; "
                f"{' and '.join(sorted(SEQ2SEQ))} are."
            )
        if self.dtype == torch.float16:
            raise ModelUnsupported(
                f"{name} is loaded in float16, in which T5 models overflow. Load it in bfloat16 or float32."
            )
        answer_in_blocks(self.model)

    # --- facts -------------------------------------------------------------------------------------------------------
    @cached_property
    def embedding(self) -> Tensor:
        """`[V, H]` the frozen input embeddings."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    @cached_property
    def embedding_rms(self) -> float:
        """Root mean square of the embeddings: the unit in which learning rates are given."""
        return root_mean_square(self.embedding)

    @property
    def hidden_size(self) -> int:
        return int(self.embedding.shape[1])

    @property
    def depth(self) -> int:
        """Layers of the encoder: those that label readouts may tap."""
        return len(self._layers)

    @property
    def context(self) -> int:
        """Longest text in tokens the model was made for; advice, as relative positions go on without end."""
        stated = int(getattr(self.tokenizer, "model_max_length", 0) or 0)
        return stated if 0 < stated < 1_000_000 else TRAINED_LENGTH  # "no limit" is written as 1e30

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    # --- passes ------------------------------------------------------------------------------------------------------
    def prefix(self, prompt: SoftPrompt, head: Sequence[int] = (), depth: int | None = None) -> None:
        """Nothing: no pass over the prompt can be shared, since what stands in front of a row looks at the row too.

        Callers hand the None on as `Group.prefix`. A head would be lost on that way, so it is refused.
        """
        _refuse_deep(prompt)
        if head:
            raise ValueError(
                f"{len(head)} head tokens given, but an encoder shares nothing between rows. "
                "Make the rows with Encoder(…, share_head=False)."
            )

    def encode(
        self, rows: Sequence[Row], groups: Sequence[Group], *, head: Sequence[int] = (), taps: Sequence[int] = ()
    ) -> Encoded:
        """Run the encoder over rows of any prompts and lengths, with gradient to the prompts that want one.

        Args:
            rows: prompts, ordered by group.
            groups: who shares which prompt.
            head: ids in front of every row, behind the prefix vectors.
            taps: encoder layers (1 = output of the first) whose hidden states are wanted as well.
        """
        suffixes = [range(group.prompt.suffix_length) for group in groups for _ in range(group.count)]
        packed = pack([Row(prompt=row.prompt) for row in rows], suffixes)
        sources = self._sources(rows, groups, head)
        lengths = [len(source) for source in sources]
        hidden: dict[int, Tensor] = {}
        tapped: dict[int, dict[int, Tensor]] = {layer: {} for layer in taps}
        for numbers in buckets([(length, 0) for length in lengths]):
            out, _, states = self._encode([sources[n] for n in numbers], taps)
            for place, n in enumerate(numbers):
                hidden[n] = out[place, : lengths[n]]
                own = slice(lengths[n] - int(packed.lengths[n]), lengths[n])
                for layer in taps:
                    tapped[layer][n] = states[layer][place, own]
        whole = pad_sequence([hidden[n] for n in range(len(rows))], batch_first=True)
        return Encoded(
            hidden=whole,
            mask=filled(lengths, self.device),
            packed=packed,
            tapped={layer: torch.cat([found[n] for n in range(len(rows))]) for layer, found in tapped.items()},
        )

    def decode(
        self, tokens: Tensor, hidden: Tensor, mask: Tensor, cache: Any = None, own: Tensor | None = None
    ) -> Tensor:
        """`[B, T]` decoder tokens over `[B, E, H]` encoder states → `[B, T, H]`, ready for `logits`.

        `own` `[B, past + T]` says which places of the decoder each row has filled; None: all.
        """
        out = self.model.get_decoder()(
            input_ids=tokens,
            attention_mask=own,
            encoder_hidden_states=hidden,
            encoder_attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]

    def embed(self, tokens: Tensor) -> Tensor:
        """`[N]` ids → `[N, H]`."""
        return self.model.get_input_embeddings()(tokens)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """`[M, H]` → `[M, V]`, scaled as the architecture wants it."""
        if getattr(self.model.config, "scale_decoder_outputs", False):  # T5 before 1.1
            hidden = hidden * self.hidden_size**-0.5
        return self.model.get_output_embeddings()(hidden)  # type: ignore[no-any-return]

    # --- tuning ------------------------------------------------------------------------------------------------------
    def token_losses(
        self, rows: Sequence[Row], prompt: SoftPrompt, head: Sequence[int] = (), *, shared: PrefixCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of every target token.

        Args:
            rows: what to predict, with targets.
            prompt: whose vectors stand around them.
            head: ids all rows have in front, behind the prefix vectors.
            shared: None; here only to match the causal backbone.

        Returns:
            `[M]` losses in nats, `[M]` the row each belongs to; row by row, token by token.
        """
        sources = self._sources(rows, [Group(prompt, None, len(rows))], head)
        losses = [torch.zeros(0, device=self.device)]
        owners = [torch.zeros(0, dtype=torch.long, device=self.device)]
        asked = [n for n, row in enumerate(rows) if row.target]
        for bucket in buckets([(len(sources[n]), len(rows[n].target)) for n in asked]):
            numbers = [asked[n] for n in bucket]
            hidden, mask, _ = self._encode([sources[n] for n in numbers])
            targets = pad_sequence([torch.tensor(rows[n].target) for n in numbers], batch_first=True, padding_value=-1)
            targets = targets.to(self.device)
            starts = torch.full_like(targets[:, :1], self._start)
            states = self.decode(torch.cat([starts, targets[:, :-1].clamp(min=0)], dim=1), hidden, mask)
            known = targets >= 0
            losses.append(F.cross_entropy(self.logits(states[known]).float(), targets[known], reduction="none"))
            owners.append(torch.tensor(numbers, device=self.device)[:, None].expand_as(targets)[known])
        owner = torch.cat(owners)
        order = owner.argsort(stable=True)
        return torch.cat(losses)[order], owner[order]

    def add_gradient(self, batches: Sequence[Sequence[Row]], prompt: SoftPrompt, head: Sequence[int]) -> Tensor:
        """Add to the prompt the gradient of the mean loss over all target tokens of an update.

        Returns:
            The summed loss of the target tokens, without gradient.
        """
        total = sum(len(row.target) for rows in batches for row in rows)
        loss_sum = torch.zeros((), device=self.device)
        for rows in batches:
            losses, _ = self.token_losses(rows, prompt, head)
            (losses.sum() / total).backward()  # type: ignore[no-untyped-call]
            loss_sum += losses.detach().sum()
        return loss_sum

    # --- answering ---------------------------------------------------------------------------------------------------
    def prefill(
        self, rows: Sequence[Row], groups: Sequence[Group], room: int, taps: Sequence[int] = ()
    ) -> Seq2SeqState:
        """Read the rows with their prompts; the state that comes back decodes any number of tokens.

        Args:
            rows: prompts, ordered by group.
            groups: who shares which prompt.
            room: not needed here, the decoder's cache grows as it goes.
            taps: encoder layers whose hidden states are kept for a label readout.
        """
        return Seq2SeqState(self, self.encode(rows, groups, taps=taps))

    # --- inside ------------------------------------------------------------------------------------------------------
    @property
    def _layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.model.get_encoder().block
        return layers

    @property
    def _start(self) -> int:
        """The id the decoder starts from; T5 takes the padding token."""
        start = self.model.config.decoder_start_token_id
        return int(self.model.config.pad_token_id if start is None else start)

    def _sources(self, rows: Sequence[Row], groups: Sequence[Group], head: Sequence[int]) -> list[Tensor]:
        """What the encoder reads of each row: `[E_i, H]` each, vectors in place."""
        ids = [(*head, *row.prompt) for row in rows]
        flat = torch.tensor([token for row in ids for token in row], dtype=torch.long, device=self.device)
        texts = iter(torch.split(self.embed(flat), [len(row) for row in ids]))
        sources: list[Tensor] = []
        for group in groups:
            _refuse_deep(group.prompt)
            front, behind = (
                [] if part is None else [part.to(self.dtype)] for part in (group.prompt.prefix, group.prompt.suffix)
            )
            sources += [torch.cat([*front, next(texts), *behind]) for _ in range(group.count)]
        return sources

    def _encode(self, sources: Sequence[Tensor], taps: Sequence[int] = ()) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """Sources `[E_i, H]` → padded `[B, E, H]` output, `[B, E]` mask, tapped `[B, E, H]` outputs by layer."""
        mask = filled([len(source) for source in sources], self.device)
        embeds = pad_sequence(list(sources), batch_first=True)
        with self._tapped(taps) as tapped:
            out = self.model.get_encoder()(inputs_embeds=embeds, attention_mask=mask)
        return out.last_hidden_state, mask, tapped

    @contextmanager
    def _tapped(self, taps: Sequence[int]) -> Iterator[dict[int, Tensor]]:
        """Collect the outputs of some encoder layers while the block runs."""
        found: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                found[number] = output[0] if isinstance(output, tuple) else output

            return hook

        handles = [self._layers[number - 1].register_forward_hook(keep(number)) for number in taps]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()


def buckets(sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Numbers of rows, by length, in lots that padding makes at most `PADDING_LIMIT` times as large.

    Args:
        sizes: (encoder tokens, decoder tokens) of each row.
    """
    lots: list[list[int]] = []
    for number in sorted(range(len(sizes)), key=sizes.__getitem__):
        if lots:
            lot = [sizes[n] for n in (*lots[-1], number)]
            places = len(lot) * (max(e for e, _ in lot) + max(d for _, d in lot))
            if places <= PADDING_LIMIT * sum(e + d for e, d in lot):
                lots[-1].append(number)
                continue
        lots.append([number])
    return lots


def _refuse_deep(prompt: SoftPrompt) -> None:
    if prompt.deep is not None:
        raise ModelUnsupported(
            f"Keys and values per layer ({prompt.deep.shape[3]} virtual tokens) are for decoder-only models: in an "
            "encoder-decoder model they reach the decoder alone and tune badly. Use the method prompt_tuning."
        )
