"""Detection: boxes, anchors, annotated images, and what detections are worth."""
