from sonde.eval.metric_names import arrow, higher_is_better, shown, title_of

HIGHER = {
    *("delta0.5", "delta1", "delta2", "delta3", "delta1_ppd", "delta1_points"),
    *("boundary_f1", "boundary_f1_masked", "boundary_recall_matting", "boundary_precision"),
    *("windowed_boundary_f1_r1", "pair_accuracy", "dde_equal", "aurg_rmse", "spearman"),
}
LOWER = {
    *("abs_rel", "rmse", "silog_dav2", "delta1_error", "ratio_1.02_error", "nonpositive_share"),
    *("edge_chamfer_m", "edge_fly3d", "flying_rate", "dbe_acc", "dde_nearer", "pe_fla_cm"),
    *("fov_error_deg", "ause_abs_rel", "calibration_error", "tae", "opw"),
}


def test_directions_of_metrics():
    assert [name for name in HIGHER if arrow(name) != "up" or not higher_is_better(name)] == []
    assert [name for name in LOWER if arrow(name) != "down" or higher_is_better(name)] == []
    assert arrow("coverage_90") == ""


def test_numbers_are_short_and_missing_ones_a_dash():
    assert [shown(v) for v in (0.123456, 12345.6, 0, None, float("nan"))] == [
        "0.1235",
        "12346",
        "0",
        "-",
        "-",
    ]
    assert (title_of("abs_rel"), title_of("own_thing")) == ("AbsRel", "own thing")
