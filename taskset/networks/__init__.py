"""What tasks are built from: dimensions, activations, initialisers and layers.

Everything here is a pytree whose static part fixes a compiled program and whose leaves are its
inputs. Built exactly, a network has no leaves but its scales; built for a bucket, its widths,
activation and initialiser are leaves too, and arrays are padded to the size of the bucket.

    dims.py          Dim: a dimension, of which a part may be padding
    branches.py      work that is left out when no task needs it
    choices.py       Choice: one of a few variants, fixed or an input
    activations.py   Activation
    initializers.py  Initializer: random starts that do not depend on padding
    dense.py         Dense layers, MLP
    conv.py          ConvStack: 3x3 convolutions on a canvas that may be larger than the images
    conv_coders.py   from images to vectors by convolutions, and back
    images.py        ImageInput: minibatches of images as what networks read
    recurrent.py     vanilla, GRU and LSTM cores
    sequences.py     cores over minibatches of sequences, padded in rows and steps; loss over tokens
    token_rnn.py     TokenRNN: an embedding and a core
"""
