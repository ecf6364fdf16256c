"""What is seen of a group of errors, before any cause is named.

- normal: the energies and the look of reference images, measured once
- subject: the model under diagnosis, with what is normal for it
- kept: what is measured of a model once, and kept with it
- layer_facts: what is known of a layer before any error, measured once
- reproduced: the errors of a log that the model makes again
- look: how images look, without any network
- blame: which filters pushed to the wrong class
- surface: what the plant's surfaces look like, learnt once
- primitives: what these filters see
- failing_textures: what over-active filters see on the failing images, for recipes
- responses: what every operation does to filters and look
- shift: how far the errors moved, and how much of that a change explains
- nearest: for every error the reference image nearest to it, as it is and under a change
- place: where errors and reference images differ, patch by patch
- wrong_labels: which errors are rather wrong labels, by several signs
- case: a group of errors with all that they are compared with
"""
