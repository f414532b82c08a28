from lgtwist.runtime import logs

# The lines of one test are not throttled because of those of another one.
logs.throttle = logs.LineThrottle(unlimited=True)
