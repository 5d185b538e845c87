from sonde.eval.circumstances import machine_facts, peak_rss_mb, tool_facts


def test_versions_and_machine_are_known():
    tool = tool_facts()
    assert tool["packages"]["numpy"] and tool["version"]
    if tool["git_commit"]:
        assert len(tool["git_commit"]) == 40 and isinstance(tool["dirty"], bool)
    machine = machine_facts(device="cpu", dtype="float32")
    assert machine["threads"] >= 1 and machine["processor"] and machine["device"] == "cpu"


def test_memory_is_that_of_a_process():
    assert 10 < peak_rss_mb() < 1e6
