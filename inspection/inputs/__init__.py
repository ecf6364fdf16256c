"""What a plant gives: defect logs, tables, images.

- defect_log: the log, row by row, with what is set aside and why
- labels: which class of the model a label of the log means
- paths: image paths that another machine wrote
- tables: files that hold a table, as text
- text: the lines of a file whose encoding nobody states
- delimited: the header and the records of CSV
- image_sets: folders and tables of labelled images
- class_folders: what is read in folders of images, and what is passed over
- condition: an SQL condition on a table, compared exactly
- images: one image file, decoded and written
- integrity: whether an image file is all there, where OpenCV does not say so
- tiff: what OpenCV does not decode of TIFF
- labelled: labelled images in memory
- sample_line: a rendered production line, for the demo and for tests
"""
