"""Data sets as arrays on the device.

    sources.py            names -> data sets: load, info, read, prepare, verify, names
    prepared.py           what every source produces: arrays in four splits, and facts about them
    store.py              prepared data sets on disk

    image_data.py         ImageData: the images of a TaskSet configuration, by TaskSet's name
    images.py             labelled images in host memory
    embedded.py           real images that come with installed packages, never downloaded
    stand_ins.py          the same, in the shapes of TaskSet's data sets
    glyphs.py             characters drawn from fonts, of which some stand-ins are made
    recipes.py            TaskSet's images from tensorflow-datasets: which builder, which size
    tfds.py               images from the builders of tensorflow-datasets
    without_tensorflow.py lets those builders prepare data without TensorFlow
    arrays.py             ArrayDataset: the arrays on the device, batches by key
    shards.py             ShardedData: what is too large for the device, one shard at a time

    text_data.py          TextData: the text of a TaskSet configuration, by TaskSet's name
    text_sources.py       names of sets of text -> what builds them
    text_corpus.py        text in host memory, as one stream of tokens per split
    tokenizers.py         bytes and learned subwords <-> token ids
    embedded_text.py      real text that comes with Python and installed packages
    tfds_text.py          text from the builders of tensorflow-datasets
    text.py               TextDataset: the stream on the device, windows by key

Nothing is downloaded unless asked for.
"""
