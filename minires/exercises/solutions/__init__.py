"""The right answers, one file an exercise. Students get these files with the fenced parts cut out.

What stands between `# solution` and `# end` is the answer; everything else is the stub, word for
word. So the two cannot drift apart, and the tests run the answers through the same checks.
"""
