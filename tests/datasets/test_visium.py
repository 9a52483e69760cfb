"""Reading, checking and caching of small files in the layout of Space Ranger."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

import s2s_scverse as s2s
from s2s_scverse.datasets import _public

LOADERS = {
    "V1_Adult_Mouse_Brain": s2s.datasets.visium_mouse_brain,
    "V1_Human_Lymph_Node": s2s.datasets.visium_human_lymph_node,
    "V1_Breast_Cancer_Block_A_Section_1": s2s.datasets.visium_breast_cancer,
}
COUNTS = np.array([[1, 0, 3], [0, 5, 0], [2, 2, 1]])


@pytest.mark.parametrize(("sample", "load"), LOADERS.items(), ids=LOADERS)
def test_read_as_scanpy_does(sample, load, write_10x, tmp_path, monkeypatch):
    monkeypatch.setenv("S2S_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_public, "URL", "http://127.0.0.1:9/{0}_{1}")
    matrix, spatial = (tmp_path / "visium" / f"{sample}_{file}" for file in _public.FILES)
    matrix.parent.mkdir()
    write_10x(matrix, COUNTS, ["AA-1", "CC-1", "GG-1"], ["Gad1", "Sox2", "Sox2"], ["Gene Expression"] * 3)
    image = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(image, "png")
    # Positions of all spots of the array, in another order than the matrix.
    table = "GG-1,1,2,4,30,300\nTT-1,0,3,5,40,400\nAA-1,1,0,0,10,100\nCC-1,1,1,1,20,200\n"
    with tarfile.open(spatial, "w:gz") as archive:
        for name, content in {
            "tissue_positions_list.csv": table.encode(),
            "tissue_hires_image.png": image.getvalue(),
            "tissue_lowres_image.png": image.getvalue(),
            "scalefactors_json.json": json.dumps({"tissue_hires_scalef": 0.5, "spot_diameter_fullres": 9.0}).encode(),
        }.items():
            info = tarfile.TarInfo(f"spatial/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    hashes = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in (matrix, spatial))
    monkeypatch.setitem(_public.SHA256, sample, hashes)
    adata = load(progress=False)
    assert adata.var_names.tolist() == ["Gad1", "Sox2", "Sox2-1"]
    assert adata.obs_names.tolist() == ["AA-1", "CC-1", "GG-1"]
    np.testing.assert_array_equal(adata.X.toarray(), COUNTS)
    assert adata.obs.columns.tolist() == ["in_tissue", "array_row", "array_col"]
    np.testing.assert_array_equal(adata.obs["array_col"], [0, 1, 4])
    np.testing.assert_array_equal(adata.obsm["spatial"], [[100, 10], [200, 20], [300, 30]])
    library = adata.uns["spatial"][sample]
    assert library["images"]["hires"].shape == (4, 4, 3)
    assert library["scalefactors"]["tissue_hires_scalef"] == 0.5
