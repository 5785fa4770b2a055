# Grouped bars, one group a variant, one bar a load and size; per cent of all 2 MiB blocks.
# Data: first row column heads, then variant, value per figure ("?" = none).
set terminal svg size 960,380 dynamic noenhanced font "sans-serif,12" background "#ffffff"
set output output
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set datafile missing "?"
set datafile separator "\t"
set grid ytics lc "#dddddd"
set border 3
set rmargin 6
set key outside top center horizontal font ",10"
set xtics rotate by -20 nomirror
set ytics nomirror
set yrange [0:*]
set ylabel "blocks wholly free, %"
set linetype 1 lc "#4477aa"
set linetype 2 lc "#99ddff"
set linetype 3 lc "#ee6677"
set linetype 4 lc "#ffaabb"
plot for [i=2:columns] data using i:xtic(1) title columnhead(i)
