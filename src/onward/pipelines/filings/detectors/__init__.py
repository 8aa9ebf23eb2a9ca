"""Detectors: each looks at the blocks in one way and says what it saw; none decides which item is where.

`furniture` finds what repeats page after page, `headings` reads numbered headings, `contents` reads tables of contents
and their links, `crossref` reads cross-reference indexes; `vote` weighs what they saw.
"""
