"""Data sets as arrays on the device.

    sources.py            names -> data sets: load, info, prepare, names
    embedded.py           real data that comes with installed packages, never downloaded
    tfds.py               the same, from the builders of tensorflow-datasets
    without_tensorflow.py lets those builders prepare data without TensorFlow
    images.py             labelled images in host memory, what every source produces
    store.py              prepared data sets on disk
    arrays.py             ArrayDataset: the arrays on the device, batches by key

Nothing is downloaded unless asked for.
"""
