import torch

from nearfar.eval.circumstances import machine_facts, network_facts, peak_rss_mb, tool_facts


def test_versions_and_machine_are_known():
    tool = tool_facts()
    assert tool["packages"]["numpy"] and tool["version"]
    if tool["git_commit"]:
        assert len(tool["git_commit"]) == 40 and isinstance(tool["dirty"], bool)
    machine = machine_facts(device="cpu", dtype="float32")
    assert machine["threads"] >= 1 and machine["processor"] and machine["device"] == "cpu"


def test_every_network_is_told_by_config_and_tensors():
    def network(width, seed):
        one = torch.nn.Linear(3, width)
        one.config = {"width": width}
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            one.weight.copy_(torch.randn(width, 3, generator=generator))
            one.bias.zero_()
        return one

    def facts(width, seed, dtype=torch.float32):
        return network_facts({"encoder": network(width, seed).to(dtype)})["encoder"]

    first = facts(4, 0)
    assert (first["class"], first["parameters"], first["dtype"]) == ("Linear", 16, "float32")
    assert facts(4, 0) == first and facts(4, 0, torch.bfloat16)["dtype"] == "bfloat16"
    assert facts(4, 1)["config_sha256"] == first["config_sha256"] != facts(5, 0)["config_sha256"]
    assert facts(4, 1)["tensors_sha256"] != first["tensors_sha256"]


def test_memory_is_that_of_a_process():
    assert 10 < peak_rss_mb() < 1e6
