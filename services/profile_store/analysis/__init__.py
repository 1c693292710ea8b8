"""What populations say: RFM and repeat-purchase models. Pure, no I/O, no clock."""
