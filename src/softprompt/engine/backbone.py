"""A frozen causal model behind a soft prompt: prefix pass, row pass, logits where they are needed.

Every architecture whose layers call the attention interface of the transformers library runs here (llama, mistral,
qwen2, granite, gpt2 …). Encoder-decoder models: `seq2seq`. Does not know templates, losses, optimizers or files.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softprompt.engine import lean
from softprompt.engine.attention import NAME, Capture, Layout, PrefixCache, Rows, causal_mask
from softprompt.engine.decoding import CausalState, Group
from softprompt.engine.embedding_scale import root_mean_square
from softprompt.engine.packing import Packed, Row, pack
from softprompt.engine.precision import answer_in_blocks
from softprompt.engine.row_store import RowStore
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ModelUnsupported, ParameterInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softprompt.engine.seq2seq import Seq2SeqBackbone

_STACKS = {"layers": "norm", "h": "ln_f"}
"""Name of the list of layers in a model → name of the norm behind it."""


def wrap(model: Any, tokenizer: Any, *, model_id: str = "", path: Path | None = None) -> Backbone:
    """A transformers model, frozen, as the engine uses it."""
    model.eval().requires_grad_(False)
    if getattr(model.config, "is_encoder_decoder", False):
        from softprompt.engine.seq2seq import Seq2SeqBackbone

        return Seq2SeqBackbone(model, tokenizer, model_id=model_id, path=path)
    return CausalBackbone(model, tokenizer, model_id=model_id, path=path)


@dataclass(frozen=True)
class CausalBackbone:
    """A frozen decoder-only model.

    Attributes:
        model: `…ForCausalLM` of the transformers library.
        tokenizer: its tokenizer.
        model_id: the catalogue's id, or a path.
        path: the folder it was loaded from.
    """

    model: Any
    tokenizer: Any
    model_id: str = ""
    path: Path | None = None
    kind: ClassVar[Literal["causal"]] = "causal"

    def __post_init__(self) -> None:
        inner = self.model.base_model
        if not any(hasattr(inner, name) for name in _STACKS):
            raise ModelUnsupported(
                f"{self.model_id or type(self.model).__name__}: no list of layers found in {type(inner).__name__}. "
                "Llama-, Mistral-, Qwen2-, Granite-, Gemma- and GPT-2-like models and T5 are supported."
            )
        self.model.set_attn_implementation(NAME)
        lean.apply(self.model)
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
        scale = float(getattr(self.model.get_input_embeddings(), "embed_scale", 1.0))  # Gemma 3 scales inside
        return root_mean_square(self.embedding) * scale

    @property
    def hidden_size(self) -> int:
        return int(self.embedding.shape[1])

    @property
    def depth(self) -> int:
        return len(self._layers)

    @property
    def context(self) -> int:
        """Longest text in tokens, virtual tokens included."""
        config = self.model.config
        longest = int(getattr(config, "max_position_embeddings", 0) or 1_000_000)
        # Every token sees all of its prefix here, so texts have to stay inside the shortest window.
        slides = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
        window = getattr(config, "sliding_window", None) if slides else None
        return min(longest, int(window)) if window else longest

    @cached_property
    def lean(self) -> bool:
        """Whether its layers are the engine's own (`engine.lean`)."""
        return any(isinstance(layer.forward, lean.LeanLayer) for layer in self._layers)

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    # --- passes ------------------------------------------------------------------------------------------------------
    def prefix(self, prompt: SoftPrompt, head: Sequence[int] = (), depth: int | None = None) -> PrefixCache | None:
        """Keys and values of everything that rows share in front: the prompt's vectors, then the head's tokens.

        Args:
            prompt: its prefix or deep part is used, with gradient if it wants one.
            head: ids of the text that all rows start with.
            depth: how many layers are needed (all if None).
        """
        base = None
        if prompt.deep is not None:
            deep = prompt.deep[:depth].to(self.dtype)
            base = PrefixCache(tuple(layer[0] for layer in deep), tuple(layer[1] for layer in deep))
        parts = [] if prompt.prefix is None else [prompt.prefix.to(self.dtype)]
        if head:
            parts.append(self.embed(torch.tensor(list(head), device=self.device)))
        if not parts:
            return base
        embeds = torch.cat(parts)
        self._check_room(embeds.shape[0] + (base.length if base else 0))
        if base is None:
            capture = Capture()
            self._run(embeds, torch.arange(embeds.shape[0], device=self.device), capture, depth)
            return capture.cache()
        store = RowStore(room=embeds.shape[0])
        length = embeds.shape[0]
        layout = Rows(
            index=torch.arange(length, device=self.device)[None],
            unpad=None,
            mask=causal_mask(torch.tensor([length], device=self.device), length, self.dtype),
            groups=((base, 0, 1),),
            store=store,
        )
        self._run(embeds, torch.arange(length, device=self.device) + base.length, layout, depth)
        behind = PrefixCache(
            tuple(store.keys[i][0] for i in range(len(base.keys))),
            tuple(store.values[i][0] for i in range(len(base.keys))),
        )
        return base.joined(behind)

    def rows(
        self,
        packed: Packed,
        groups: Sequence[tuple[PrefixCache | None, int, int]],
        *,
        suffix: Tensor | None = None,
        store: RowStore | None = None,
        depth: int | None = None,
        taps: Sequence[int] = (),
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Hidden states of packed rows behind their prefixes.

        Args:
            packed: the rows.
            groups: (prefix, first row, last row + 1), in the order of the rows.
            suffix: `[S, H]` the vectors that negative ids stand for.
            store: keeps the rows' keys and values when given (prefill).
            depth: number of layers to run; below all of them the last norm is left out.
            taps: layers (1 = output of the first) whose hidden states are wanted as well.

        Returns:
            `[N, H]` hidden states, and the tapped ones by layer.
        """
        packed = self.place(packed)
        offset = torch.cat(
            [packed.lengths.new_full((b - a,), prefix.length if prefix else 0) for prefix, a, b in groups]
        )
        positions = packed.positions + offset.repeat_interleave(packed.lengths)
        self._check_room(int(positions.max()) + 1)
        width = packed.index.shape[1]
        layout = Rows(
            index=packed.index,
            unpad=packed.unpad,
            mask=causal_mask(packed.lengths, width, self.dtype),
            groups=tuple(groups),
            store=store,
        )
        with self._tapped(taps) as tapped:
            hidden = self._run(self.embed(packed.tokens, suffix), positions, layout, depth)
        return hidden, tapped

    def step(self, tokens: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        """One decoding step: `[B]` tokens at `[B]` positions → `[B, H]` hidden states."""
        return self._run(self.embed(tokens), positions, layout, None)

    def embed(self, tokens: Tensor, suffix: Tensor | None = None) -> Tensor:
        """`[N]` ids → `[N, H]`; negative ids take vectors of `suffix`."""
        table = self.model.get_input_embeddings()
        if suffix is None:
            return table(tokens)  # type: ignore[no-any-return]
        virtual = tokens < 0
        base = table(tokens.clamp(min=0))
        return torch.where(virtual[:, None], suffix.to(base.dtype)[(-1 - tokens).clamp(min=0)], base)

    def logits(self, hidden: Tensor) -> Tensor:
        """`[M, H]` → `[M, V]`, scaled and capped as the architecture wants it."""
        out = self.model.get_output_embeddings()(hidden)
        if scaling := getattr(self.model.config, "logits_scaling", None):  # Granite
            out = out / scaling
        if cap := getattr(self.model.config, "final_logit_softcapping", None):  # Gemma 2
            out = torch.tanh(out / cap) * cap
        return out  # type: ignore[no-any-return]

    def place(self, packed: Packed) -> Packed:
        """The batch on the model's device."""
        if self.device.type == "cpu":
            return packed
        moved = {n: getattr(packed, n).to(self.device) for n in packed.__slots__ if getattr(packed, n) is not None}
        return replace(packed, **moved)

    # --- tuning ------------------------------------------------------------------------------------------------------
    def token_losses(
        self, rows: Sequence[Row], prompt: SoftPrompt, head: Sequence[int] = (), *, shared: PrefixCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of every target token.

        Args:
            rows: what to predict, with targets.
            prompt: whose vectors stand around them.
            head: ids all rows share in front.
            shared: the prefix pass of prompt and head, if it is at hand.

        Returns:
            `[M]` losses in nats, `[M]` the row each belongs to.
        """
        packed = self.place(pack(rows, prompt.suffix_length))
        prefix = shared if shared is not None else self.prefix(prompt, head)
        hidden, _ = self.rows(packed, [(prefix, 0, len(rows))], suffix=prompt.suffix)
        logits = self.logits(hidden[packed.predict]).float()
        return F.cross_entropy(logits, packed.targets, reduction="none"), packed.target_row

    def add_gradient(self, batches: Sequence[Sequence[Row]], prompt: SoftPrompt, head: Sequence[int]) -> Tensor:
        """Add to the prompt the gradient of the mean loss over all target tokens of an update.

        The shared prefix runs once for all batches; what they send back to its keys and values is collected and goes
        through it once.

        Returns:
            The summed loss of the target tokens, without gradient.
        """
        total = sum(len(row.target) for rows in batches for row in rows)
        shared = self.prefix(prompt, head)
        leaf = shared.detached() if shared is not None else None
        loss_sum = torch.zeros((), device=self.device)
        for rows in batches:
            losses, _ = self.token_losses(rows, prompt, shared=leaf)
            (losses.sum() / total).backward()  # type: ignore[no-untyped-call]
            loss_sum += losses.detach().sum()
        if shared is not None and leaf is not None:
            pull_back(shared, leaf)
        return loss_sum

    # --- answering ---------------------------------------------------------------------------------------------------
    def prefill(self, rows: Sequence[Row], groups: Sequence[Group], room: int, taps: Sequence[int] = ()) -> CausalState:
        """Read the rows behind their prompts; the state that comes back decodes up to `room` tokens.

        Args:
            rows: prompts, ordered by group.
            groups: who shares which prompt.
            room: most tokens that will be generated.
            taps: layers whose hidden states are kept for a label readout.
        """
        return CausalState(self, rows, groups, room, taps)

    # --- inside ------------------------------------------------------------------------------------------------------
    @property
    def _stack(self) -> str:
        return next(name for name in _STACKS if hasattr(self.model.base_model, name))

    @property
    def _layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = getattr(self.model.base_model, self._stack)
        return layers

    @cached_property
    def _views(self) -> dict[int, nn.Module]:
        return {}

    def _view(self, depth: int | None) -> nn.Module:
        """The model's first layers, without the norm behind the last: the same weights under another list."""
        if depth is None or depth >= self.depth:
            return self.model.base_model  # type: ignore[no-any-return]
        if depth not in self._views:
            view = copy.copy(self.model.base_model)
            view._modules = dict(view._modules)
            view._modules[self._stack] = nn.ModuleList(list(self._layers)[:depth])
            view._modules[_STACKS[self._stack]] = nn.Identity()
            self._views[depth] = view
        return self._views[depth]

    def _run(self, embeds: Tensor, positions: Tensor, layout: Layout, depth: int | None) -> Tensor:
        """`[N, H]` → `[N, H]` through the layers."""
        out = self._view(depth)(
            inputs_embeds=embeds[None], position_ids=positions[None], use_cache=False, layout=layout
        )
        return out.last_hidden_state[0]  # type: ignore[no-any-return]

    @contextmanager
    def _tapped(self, taps: Sequence[int]) -> Iterator[dict[int, Tensor]]:
        """Collect the outputs of some layers while the block runs."""
        found: dict[int, Tensor] = {}

        def keep(number: int) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                found[number] = (output[0] if isinstance(output, tuple) else output)[0]

            return hook

        handles = [self._layers[number - 1].register_forward_hook(keep(number)) for number in taps]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def _check_room(self, length: int) -> None:
        if length > self.context:
            raise ParameterInvalid(
                f"{length} tokens (virtual, input and answer together) do not fit into the {self.context} of "
                f"{self.model_id or 'the model'}. Shorten the input or use fewer virtual tokens."
            )


def pull_back(shared: PrefixCache, leaf: PrefixCache) -> None:
    """Send the gradients that rows left on `leaf` through the prefix pass that `shared` came from."""
    pairs = [
        (source, copy_.grad)
        for source, copy_ in zip((*shared.keys, *shared.values), (*leaf.keys, *leaf.values), strict=True)
        if source.requires_grad and copy_.grad is not None
    ]
    if pairs:
        torch.autograd.backward([source for source, _ in pairs], [grad for _, grad in pairs])


if TYPE_CHECKING:
    Backbone = CausalBackbone | Seq2SeqBackbone
