"""Providers that LiteLLM knows by a base URL and a key, all with OpenAI's Chat API.

They have no preset: an entry becomes a provider of the preset `custom` with this URL.
"""

from __future__ import annotations

import msgspec

from gateway.providers.profile import Preset


class CompatibleServer(msgspec.Struct, frozen=True):
    """A base URL, and the environment variable that holds the key."""

    base_url: str
    env: str

    def key_preset(self, prefix: str) -> Preset:
        """The preset that names the variable of the key."""
        return Preset(name=prefix, title=prefix, base_url=self.base_url, env=(self.env,))


# LiteLLM's prefix -> server (its providers.json and get_llm_provider, 2026-11).
COMPATIBLE_SERVERS: dict[str, CompatibleServer] = {
    prefix: CompatibleServer(base_url, env)
    for prefix, base_url, env in (
        ("abliteration", "https://api.abliteration.ai/v1", "ABLITERATION_API_KEY"),
        ("apertis", "https://api.stima.tech/v1", "STIMA_API_KEY"),
        ("assemblyai", "https://llm-gateway.assemblyai.com/v1", "ASSEMBLYAI_API_KEY"),
        ("cognition", "https://api.cognition.ai/v1", "COGNITION_API_KEY"),
        ("cometapi", "https://api.cometapi.com/v1", "COMETAPI_API_KEY"),
        ("coralbricks", "https://inference.coralbricks.ai/v1", "CORALBRICKS_API_KEY"),
        ("cortecs", "https://api.cortecs.ai/v1", "CORTECS_API_KEY"),
        ("crusoe", "https://api.inference.crusoecloud.com/v1", "CRUSOE_API_KEY"),
        ("darkbloom", "https://api.darkbloom.dev/v1", "DARKBLOOM_API_KEY"),
        ("edenai", "https://api.edenai.run/v3", "EDENAI_API_KEY"),
        ("empiriolabs", "https://api.empiriolabs.ai/v1", "EMPIRIOLABS_API_KEY"),
        ("empower", "https://app.empower.dev/api/v1", "EMPOWER_API_KEY"),
        ("galadriel", "https://api.galadriel.com/v1", "GALADRIEL_API_KEY"),
        ("gmi", "https://api.gmi-serving.com/v1", "GMI_API_KEY"),
        ("helicone", "https://ai-gateway.helicone.ai", "HELICONE_API_KEY"),
        ("inferenceapis", "https://api.inferenceapis.com/v1", "INFERENCEAPIS_API_KEY"),
        ("libertai", "https://api.libertai.io/v1", "LIBERTAI_API_KEY"),
        ("llamagate", "https://api.llamagate.dev/v1", "LLAMAGATE_API_KEY"),
        ("meta", "https://api.meta.ai/v1", "META_API_KEY"),
        ("modelscope", "https://api-inference.modelscope.cn/v1", "MODELSCOPE_API_KEY"),
        ("morph", "https://api.morphllm.com/v1", "MORPH_API_KEY"),
        ("nano-gpt", "https://nano-gpt.com/api/v1", "NANOGPT_API_KEY"),
        ("neosantara", "https://api.neosantara.xyz/v1", "NEOSANTARA_API_KEY"),
        ("parasail", "https://api.parasail.io/v1", "PARASAIL_API_KEY"),
        ("pinstripes", "https://pinstripes.io/v1", "PINSTRIPES_API_KEY"),
        ("prism", "https://api.prisminference.com/v1", "PRISM_API_KEY"),
        ("publicai", "https://api.publicai.co/v1", "PUBLICAI_API_KEY"),
        ("reka", "https://api.reka.ai/v1", "REKA_API_KEY"),
        ("sail", "https://api.sailresearch.com/v1", "SAIL_API_KEY"),
        ("scx-ai", "https://api.scx.ai/v1", "SCX_API_KEY"),
        ("synthetic", "https://api.synthetic.new/openai/v1", "SYNTHETIC_API_KEY"),
        ("tencent", "https://tokenhub-intl.tencentcloudmaas.com/v1", "TENCENT_API_KEY"),
        ("tensormesh", "https://serverless.tensormesh.ai/v1", "TENSORMESH_INFERENCE_API_KEY"),
        ("v0", "https://api.v0.dev/v1", "V0_API_KEY"),
        ("veniceai", "https://api.venice.ai/api/v1", "VENICE_AI_API_KEY"),
    )
}
