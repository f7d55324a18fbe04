"""Writes the small Parquet files of data/testdata/parquet, as pyarrow and Hugging Face's datasets write them.

    python bench/peers/parquet_files.py data/testdata/parquet      # pyarrow 26, Pillow
"""

import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

out = sys.argv[1]


def picture(shade):
    b = io.BytesIO()
    Image.new("L", (4, 3), shade).save(b, "PNG")
    return b.getvalue()


# 12 pictures whose shade is their row, of the classes cat, dog and owl in turn, as a struct of bytes and path.
images = [{"bytes": picture(i), "path": f"{i}.png"} for i in range(12)]
struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}}
meta = {"huggingface": json.dumps({"info": {"features": features}})}
numbers = pa.table({"image": pa.array(images, struct), "label": pa.array([i % 3 for i in range(12)], pa.int64())}).replace_schema_metadata(meta)

pq.write_table(numbers.slice(0, 6), f"{out}/train-00000-of-00002.parquet", row_group_size=4)
pq.write_table(numbers.slice(6, 6), f"{out}/train-00001-of-00002.parquet", row_group_size=4)
pq.write_table(numbers, f"{out}/test-00000-of-00001.parquet", row_group_size=5, write_page_index=True, use_dictionary=False, data_page_size=150, write_batch_size=1)

# Every codec and both versions of pages; names as labels, pictures as plain bytes.
names = pa.table({"jpg": pa.array([i["bytes"] for i in images]), "class": pa.array([["cat", "dog", "owl"][i % 3] for i in range(12)])})
for codec in ["none", "snappy", "gzip", "zstd", "lz4"]:
    for version in ["1.0"] if codec == "lz4" else ["1.0", "2.0"]:
        pq.write_table(names, f"{out}/{codec}-{version[0]}.parquet", compression=codec, data_page_version=version, row_group_size=8, data_page_size=200, write_batch_size=2)

# Numbers of every width, among them nulls in a column that is not a feature.
table = {
    "a": pa.array([i / 2 for i in range(6)], pa.float32()), "b": pa.array([i * 3 for i in range(6)], pa.int8()), "c": pa.array([i * 1e3 for i in range(6)], pa.float64()),
    "flag": pa.array([i % 2 == 0 for i in range(6)]), "big": pa.array([2**40 + i for i in range(6)], pa.uint64()), "name": pa.array(["x", None] * 3), "list": pa.array([[1.0, 2.0]] * 6), "target": pa.array([i % 2 for i in range(6)], pa.int16()),
}
pq.write_table(pa.table(table), f"{out}/features.parquet")
pq.write_table(pa.table({"image": pa.array([{"bytes": None, "path": "1.png"}] + images[:1], struct), "label": [0, 1]}), f"{out}/paths.parquet")
