-- Gives the next term.
--
-- KEYS[1] the hash of the store
-- RETURNS the term; 0 when there is no store any more
if not call('HGET', KEYS[1], 'id') then return 0 end
return call('HINCRBY', KEYS[1], 'term', 1)
