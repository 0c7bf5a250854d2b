"""The command line: `hornetos …`. One module per command; app.py puts them together.

It stands beside hornet/ because it calls builders/ and reports/, which themselves stand on hornet/.
"""
