-- TPC-DS query 8: profit of stores near those of 400 zip codes where many preferred customers live.
-- param year = 1998
-- param qoy = 2
-- param zip_1 = 24128
-- param zip_2 = 76232
-- param zip_3 = 65084
-- param zip_4 = 87816
-- param zip_5 = 83926
-- param zip_6 = 77556
-- param zip_7 = 20548
-- param zip_8 = 26231
-- param zip_9 = 43848
-- param zip_10 = 15126
-- param zip_11 = 91137
-- param zip_12 = 61265
-- param zip_13 = 98294
-- param zip_14 = 25782
-- param zip_15 = 17920
-- param zip_16 = 18426
-- param zip_17 = 98235
-- param zip_18 = 40081
-- param zip_19 = 84093
-- param zip_20 = 28577
-- param zip_21 = 55565
-- param zip_22 = 17183
-- param zip_23 = 54601
-- param zip_24 = 67897
-- param zip_25 = 22752
-- param zip_26 = 86284
-- param zip_27 = 18376
-- param zip_28 = 38607
-- param zip_29 = 45200
-- param zip_30 = 21756
-- param zip_31 = 29741
-- param zip_32 = 96765
-- param zip_33 = 23932
-- param zip_34 = 89360
-- param zip_35 = 29839
-- param zip_36 = 25989
-- param zip_37 = 28898
-- param zip_38 = 91068
-- param zip_39 = 72550
-- param zip_40 = 10390
-- param zip_41 = 18845
-- param zip_42 = 47770
-- param zip_43 = 82636
-- param zip_44 = 41367
-- param zip_45 = 76638
-- param zip_46 = 86198
-- param zip_47 = 81312
-- param zip_48 = 37126
-- param zip_49 = 39192
-- param zip_50 = 88424
-- param zip_51 = 72175
-- param zip_52 = 81426
-- param zip_53 = 53672
-- param zip_54 = 10445
-- param zip_55 = 42666
-- param zip_56 = 66864
-- param zip_57 = 66708
-- param zip_58 = 41248
-- param zip_59 = 48583
-- param zip_60 = 82276
-- param zip_61 = 18842
-- param zip_62 = 78890
-- param zip_63 = 49448
-- param zip_64 = 14089
-- param zip_65 = 38122
-- param zip_66 = 34425
-- param zip_67 = 79077
-- param zip_68 = 19849
-- param zip_69 = 43285
-- param zip_70 = 39861
-- param zip_71 = 66162
-- param zip_72 = 77610
-- param zip_73 = 13695
-- param zip_74 = 99543
-- param zip_75 = 83444
-- param zip_76 = 83041
-- param zip_77 = 12305
-- param zip_78 = 57665
-- param zip_79 = 68341
-- param zip_80 = 25003
-- param zip_81 = 57834
-- param zip_82 = 62878
-- param zip_83 = 49130
-- param zip_84 = 81096
-- param zip_85 = 18840
-- param zip_86 = 27700
-- param zip_87 = 23470
-- param zip_88 = 50412
-- param zip_89 = 21195
-- param zip_90 = 16021
-- param zip_91 = 76107
-- param zip_92 = 71954
-- param zip_93 = 68309
-- param zip_94 = 18119
-- param zip_95 = 98359
-- param zip_96 = 64544
-- param zip_97 = 10336
-- param zip_98 = 86379
-- param zip_99 = 27068
-- param zip_100 = 39736
-- param zip_101 = 98569
-- param zip_102 = 28915
-- param zip_103 = 24206
-- param zip_104 = 56529
-- param zip_105 = 57647
-- param zip_106 = 54917
-- param zip_107 = 42961
-- param zip_108 = 91110
-- param zip_109 = 63981
-- param zip_110 = 14922
-- param zip_111 = 36420
-- param zip_112 = 23006
-- param zip_113 = 67467
-- param zip_114 = 32754
-- param zip_115 = 30903
-- param zip_116 = 20260
-- param zip_117 = 31671
-- param zip_118 = 51798
-- param zip_119 = 72325
-- param zip_120 = 85816
-- param zip_121 = 68621
-- param zip_122 = 13955
-- param zip_123 = 36446
-- param zip_124 = 41766
-- param zip_125 = 68806
-- param zip_126 = 16725
-- param zip_127 = 15146
-- param zip_128 = 22744
-- param zip_129 = 35850
-- param zip_130 = 88086
-- param zip_131 = 51649
-- param zip_132 = 18270
-- param zip_133 = 52867
-- param zip_134 = 39972
-- param zip_135 = 96976
-- param zip_136 = 63792
-- param zip_137 = 11376
-- param zip_138 = 94898
-- param zip_139 = 13595
-- param zip_140 = 10516
-- param zip_141 = 90225
-- param zip_142 = 58943
-- param zip_143 = 39371
-- param zip_144 = 94945
-- param zip_145 = 28587
-- param zip_146 = 96576
-- param zip_147 = 57855
-- param zip_148 = 28488
-- param zip_149 = 26105
-- param zip_150 = 83933
-- param zip_151 = 25858
-- param zip_152 = 34322
-- param zip_153 = 44438
-- param zip_154 = 73171
-- param zip_155 = 30122
-- param zip_156 = 34102
-- param zip_157 = 22685
-- param zip_158 = 71256
-- param zip_159 = 78451
-- param zip_160 = 54364
-- param zip_161 = 13354
-- param zip_162 = 45375
-- param zip_163 = 40558
-- param zip_164 = 56458
-- param zip_165 = 28286
-- param zip_166 = 45266
-- param zip_167 = 47305
-- param zip_168 = 69399
-- param zip_169 = 83921
-- param zip_170 = 26233
-- param zip_171 = 11101
-- param zip_172 = 15371
-- param zip_173 = 69913
-- param zip_174 = 35942
-- param zip_175 = 15882
-- param zip_176 = 25631
-- param zip_177 = 24610
-- param zip_178 = 44165
-- param zip_179 = 99076
-- param zip_180 = 33786
-- param zip_181 = 70738
-- param zip_182 = 26653
-- param zip_183 = 14328
-- param zip_184 = 72305
-- param zip_185 = 62496
-- param zip_186 = 22152
-- param zip_187 = 10144
-- param zip_188 = 64147
-- param zip_189 = 48425
-- param zip_190 = 14663
-- param zip_191 = 21076
-- param zip_192 = 18799
-- param zip_193 = 30450
-- param zip_194 = 63089
-- param zip_195 = 81019
-- param zip_196 = 68893
-- param zip_197 = 24996
-- param zip_198 = 51200
-- param zip_199 = 51211
-- param zip_200 = 45692
-- param zip_201 = 92712
-- param zip_202 = 70466
-- param zip_203 = 79994
-- param zip_204 = 22437
-- param zip_205 = 25280
-- param zip_206 = 38935
-- param zip_207 = 71791
-- param zip_208 = 73134
-- param zip_209 = 56571
-- param zip_210 = 14060
-- param zip_211 = 19505
-- param zip_212 = 72425
-- param zip_213 = 56575
-- param zip_214 = 74351
-- param zip_215 = 68786
-- param zip_216 = 51650
-- param zip_217 = 20004
-- param zip_218 = 18383
-- param zip_219 = 76614
-- param zip_220 = 11634
-- param zip_221 = 18906
-- param zip_222 = 15765
-- param zip_223 = 41368
-- param zip_224 = 73241
-- param zip_225 = 76698
-- param zip_226 = 78567
-- param zip_227 = 97189
-- param zip_228 = 28545
-- param zip_229 = 76231
-- param zip_230 = 75691
-- param zip_231 = 22246
-- param zip_232 = 51061
-- param zip_233 = 90578
-- param zip_234 = 56691
-- param zip_235 = 68014
-- param zip_236 = 51103
-- param zip_237 = 94167
-- param zip_238 = 57047
-- param zip_239 = 14867
-- param zip_240 = 73520
-- param zip_241 = 15734
-- param zip_242 = 63435
-- param zip_243 = 25733
-- param zip_244 = 35474
-- param zip_245 = 24676
-- param zip_246 = 94627
-- param zip_247 = 53535
-- param zip_248 = 17879
-- param zip_249 = 15559
-- param zip_250 = 53268
-- param zip_251 = 59166
-- param zip_252 = 11928
-- param zip_253 = 59402
-- param zip_254 = 33282
-- param zip_255 = 45721
-- param zip_256 = 43933
-- param zip_257 = 68101
-- param zip_258 = 33515
-- param zip_259 = 36634
-- param zip_260 = 71286
-- param zip_261 = 19736
-- param zip_262 = 58058
-- param zip_263 = 55253
-- param zip_264 = 67473
-- param zip_265 = 41918
-- param zip_266 = 19515
-- param zip_267 = 36495
-- param zip_268 = 19430
-- param zip_269 = 22351
-- param zip_270 = 77191
-- param zip_271 = 91393
-- param zip_272 = 49156
-- param zip_273 = 50298
-- param zip_274 = 87501
-- param zip_275 = 18652
-- param zip_276 = 53179
-- param zip_277 = 18767
-- param zip_278 = 63193
-- param zip_279 = 23968
-- param zip_280 = 65164
-- param zip_281 = 68880
-- param zip_282 = 21286
-- param zip_283 = 72823
-- param zip_284 = 58470
-- param zip_285 = 67301
-- param zip_286 = 13394
-- param zip_287 = 31016
-- param zip_288 = 70372
-- param zip_289 = 67030
-- param zip_290 = 40604
-- param zip_291 = 24317
-- param zip_292 = 45748
-- param zip_293 = 39127
-- param zip_294 = 26065
-- param zip_295 = 77721
-- param zip_296 = 31029
-- param zip_297 = 31880
-- param zip_298 = 60576
-- param zip_299 = 24671
-- param zip_300 = 45549
-- param zip_301 = 13376
-- param zip_302 = 50016
-- param zip_303 = 33123
-- param zip_304 = 19769
-- param zip_305 = 22927
-- param zip_306 = 97789
-- param zip_307 = 46081
-- param zip_308 = 72151
-- param zip_309 = 15723
-- param zip_310 = 46136
-- param zip_311 = 51949
-- param zip_312 = 68100
-- param zip_313 = 96888
-- param zip_314 = 64528
-- param zip_315 = 14171
-- param zip_316 = 79777
-- param zip_317 = 28709
-- param zip_318 = 11489
-- param zip_319 = 25103
-- param zip_320 = 32213
-- param zip_321 = 78668
-- param zip_322 = 22245
-- param zip_323 = 15798
-- param zip_324 = 27156
-- param zip_325 = 37930
-- param zip_326 = 62971
-- param zip_327 = 21337
-- param zip_328 = 51622
-- param zip_329 = 67853
-- param zip_330 = 10567
-- param zip_331 = 38415
-- param zip_332 = 15455
-- param zip_333 = 58263
-- param zip_334 = 42029
-- param zip_335 = 60279
-- param zip_336 = 37125
-- param zip_337 = 56240
-- param zip_338 = 88190
-- param zip_339 = 50308
-- param zip_340 = 26859
-- param zip_341 = 64457
-- param zip_342 = 89091
-- param zip_343 = 82136
-- param zip_344 = 62377
-- param zip_345 = 36233
-- param zip_346 = 63837
-- param zip_347 = 58078
-- param zip_348 = 17043
-- param zip_349 = 30010
-- param zip_350 = 60099
-- param zip_351 = 28810
-- param zip_352 = 98025
-- param zip_353 = 29178
-- param zip_354 = 87343
-- param zip_355 = 73273
-- param zip_356 = 30469
-- param zip_357 = 64034
-- param zip_358 = 39516
-- param zip_359 = 86057
-- param zip_360 = 21309
-- param zip_361 = 90257
-- param zip_362 = 67875
-- param zip_363 = 40162
-- param zip_364 = 11356
-- param zip_365 = 73650
-- param zip_366 = 61810
-- param zip_367 = 72013
-- param zip_368 = 30431
-- param zip_369 = 22461
-- param zip_370 = 19512
-- param zip_371 = 13375
-- param zip_372 = 55307
-- param zip_373 = 30625
-- param zip_374 = 83849
-- param zip_375 = 68908
-- param zip_376 = 26689
-- param zip_377 = 96451
-- param zip_378 = 38193
-- param zip_379 = 46820
-- param zip_380 = 88885
-- param zip_381 = 84935
-- param zip_382 = 69035
-- param zip_383 = 83144
-- param zip_384 = 47537
-- param zip_385 = 56616
-- param zip_386 = 94983
-- param zip_387 = 48033
-- param zip_388 = 69952
-- param zip_389 = 25486
-- param zip_390 = 61547
-- param zip_391 = 27385
-- param zip_392 = 61860
-- param zip_393 = 58048
-- param zip_394 = 56910
-- param zip_395 = 16807
-- param zip_396 = 17871
-- param zip_397 = 35258
-- param zip_398 = 31387
-- param zip_399 = 35458
-- param zip_400 = 35576
with popular_zip as (
    select substr(ca_zip, 1, 5) as zip
    from customer_address
    where substr(ca_zip, 1, 5) in (
          '${zip_1}', '${zip_2}', '${zip_3}', '${zip_4}', '${zip_5}', '${zip_6}', '${zip_7}',
          '${zip_8}', '${zip_9}', '${zip_10}', '${zip_11}', '${zip_12}', '${zip_13}', '${zip_14}',
          '${zip_15}', '${zip_16}', '${zip_17}', '${zip_18}', '${zip_19}', '${zip_20}', '${zip_21}',
          '${zip_22}', '${zip_23}', '${zip_24}', '${zip_25}', '${zip_26}', '${zip_27}', '${zip_28}',
          '${zip_29}', '${zip_30}', '${zip_31}', '${zip_32}', '${zip_33}', '${zip_34}', '${zip_35}',
          '${zip_36}', '${zip_37}', '${zip_38}', '${zip_39}', '${zip_40}', '${zip_41}', '${zip_42}',
          '${zip_43}', '${zip_44}', '${zip_45}', '${zip_46}', '${zip_47}', '${zip_48}', '${zip_49}',
          '${zip_50}', '${zip_51}', '${zip_52}', '${zip_53}', '${zip_54}', '${zip_55}', '${zip_56}',
          '${zip_57}', '${zip_58}', '${zip_59}', '${zip_60}', '${zip_61}', '${zip_62}', '${zip_63}',
          '${zip_64}', '${zip_65}', '${zip_66}', '${zip_67}', '${zip_68}', '${zip_69}', '${zip_70}',
          '${zip_71}', '${zip_72}', '${zip_73}', '${zip_74}', '${zip_75}', '${zip_76}', '${zip_77}',
          '${zip_78}', '${zip_79}', '${zip_80}', '${zip_81}', '${zip_82}', '${zip_83}', '${zip_84}',
          '${zip_85}', '${zip_86}', '${zip_87}', '${zip_88}', '${zip_89}', '${zip_90}', '${zip_91}',
          '${zip_92}', '${zip_93}', '${zip_94}', '${zip_95}', '${zip_96}', '${zip_97}', '${zip_98}',
          '${zip_99}', '${zip_100}', '${zip_101}', '${zip_102}', '${zip_103}', '${zip_104}', '${zip_105}',
          '${zip_106}', '${zip_107}', '${zip_108}', '${zip_109}', '${zip_110}', '${zip_111}', '${zip_112}',
          '${zip_113}', '${zip_114}', '${zip_115}', '${zip_116}', '${zip_117}', '${zip_118}', '${zip_119}',
          '${zip_120}', '${zip_121}', '${zip_122}', '${zip_123}', '${zip_124}', '${zip_125}', '${zip_126}',
          '${zip_127}', '${zip_128}', '${zip_129}', '${zip_130}', '${zip_131}', '${zip_132}', '${zip_133}',
          '${zip_134}', '${zip_135}', '${zip_136}', '${zip_137}', '${zip_138}', '${zip_139}', '${zip_140}',
          '${zip_141}', '${zip_142}', '${zip_143}', '${zip_144}', '${zip_145}', '${zip_146}', '${zip_147}',
          '${zip_148}', '${zip_149}', '${zip_150}', '${zip_151}', '${zip_152}', '${zip_153}', '${zip_154}',
          '${zip_155}', '${zip_156}', '${zip_157}', '${zip_158}', '${zip_159}', '${zip_160}', '${zip_161}',
          '${zip_162}', '${zip_163}', '${zip_164}', '${zip_165}', '${zip_166}', '${zip_167}', '${zip_168}',
          '${zip_169}', '${zip_170}', '${zip_171}', '${zip_172}', '${zip_173}', '${zip_174}', '${zip_175}',
          '${zip_176}', '${zip_177}', '${zip_178}', '${zip_179}', '${zip_180}', '${zip_181}', '${zip_182}',
          '${zip_183}', '${zip_184}', '${zip_185}', '${zip_186}', '${zip_187}', '${zip_188}', '${zip_189}',
          '${zip_190}', '${zip_191}', '${zip_192}', '${zip_193}', '${zip_194}', '${zip_195}', '${zip_196}',
          '${zip_197}', '${zip_198}', '${zip_199}', '${zip_200}', '${zip_201}', '${zip_202}', '${zip_203}',
          '${zip_204}', '${zip_205}', '${zip_206}', '${zip_207}', '${zip_208}', '${zip_209}', '${zip_210}',
          '${zip_211}', '${zip_212}', '${zip_213}', '${zip_214}', '${zip_215}', '${zip_216}', '${zip_217}',
          '${zip_218}', '${zip_219}', '${zip_220}', '${zip_221}', '${zip_222}', '${zip_223}', '${zip_224}',
          '${zip_225}', '${zip_226}', '${zip_227}', '${zip_228}', '${zip_229}', '${zip_230}', '${zip_231}',
          '${zip_232}', '${zip_233}', '${zip_234}', '${zip_235}', '${zip_236}', '${zip_237}', '${zip_238}',
          '${zip_239}', '${zip_240}', '${zip_241}', '${zip_242}', '${zip_243}', '${zip_244}', '${zip_245}',
          '${zip_246}', '${zip_247}', '${zip_248}', '${zip_249}', '${zip_250}', '${zip_251}', '${zip_252}',
          '${zip_253}', '${zip_254}', '${zip_255}', '${zip_256}', '${zip_257}', '${zip_258}', '${zip_259}',
          '${zip_260}', '${zip_261}', '${zip_262}', '${zip_263}', '${zip_264}', '${zip_265}', '${zip_266}',
          '${zip_267}', '${zip_268}', '${zip_269}', '${zip_270}', '${zip_271}', '${zip_272}', '${zip_273}',
          '${zip_274}', '${zip_275}', '${zip_276}', '${zip_277}', '${zip_278}', '${zip_279}', '${zip_280}',
          '${zip_281}', '${zip_282}', '${zip_283}', '${zip_284}', '${zip_285}', '${zip_286}', '${zip_287}',
          '${zip_288}', '${zip_289}', '${zip_290}', '${zip_291}', '${zip_292}', '${zip_293}', '${zip_294}',
          '${zip_295}', '${zip_296}', '${zip_297}', '${zip_298}', '${zip_299}', '${zip_300}', '${zip_301}',
          '${zip_302}', '${zip_303}', '${zip_304}', '${zip_305}', '${zip_306}', '${zip_307}', '${zip_308}',
          '${zip_309}', '${zip_310}', '${zip_311}', '${zip_312}', '${zip_313}', '${zip_314}', '${zip_315}',
          '${zip_316}', '${zip_317}', '${zip_318}', '${zip_319}', '${zip_320}', '${zip_321}', '${zip_322}',
          '${zip_323}', '${zip_324}', '${zip_325}', '${zip_326}', '${zip_327}', '${zip_328}', '${zip_329}',
          '${zip_330}', '${zip_331}', '${zip_332}', '${zip_333}', '${zip_334}', '${zip_335}', '${zip_336}',
          '${zip_337}', '${zip_338}', '${zip_339}', '${zip_340}', '${zip_341}', '${zip_342}', '${zip_343}',
          '${zip_344}', '${zip_345}', '${zip_346}', '${zip_347}', '${zip_348}', '${zip_349}', '${zip_350}',
          '${zip_351}', '${zip_352}', '${zip_353}', '${zip_354}', '${zip_355}', '${zip_356}', '${zip_357}',
          '${zip_358}', '${zip_359}', '${zip_360}', '${zip_361}', '${zip_362}', '${zip_363}', '${zip_364}',
          '${zip_365}', '${zip_366}', '${zip_367}', '${zip_368}', '${zip_369}', '${zip_370}', '${zip_371}',
          '${zip_372}', '${zip_373}', '${zip_374}', '${zip_375}', '${zip_376}', '${zip_377}', '${zip_378}',
          '${zip_379}', '${zip_380}', '${zip_381}', '${zip_382}', '${zip_383}', '${zip_384}', '${zip_385}',
          '${zip_386}', '${zip_387}', '${zip_388}', '${zip_389}', '${zip_390}', '${zip_391}', '${zip_392}',
          '${zip_393}', '${zip_394}', '${zip_395}', '${zip_396}', '${zip_397}', '${zip_398}', '${zip_399}',
          '${zip_400}'
      )
    intersect
    select substr(ca_zip, 1, 5)
    from customer
    join customer_address on ca_address_sk = c_current_addr_sk
    where c_preferred_cust_flag = 'Y'
    group by substr(ca_zip, 1, 5)
    having count(*) > 10
)
select
    s_store_name,
    sum(ss_net_profit) as net_profit
from store_sales
join date_dim on d_date_sk = ss_sold_date_sk
join store on s_store_sk = ss_store_sk
-- A store counts once for every such zip code in its region.
join popular_zip on substr(zip, 1, 2) = substr(s_zip, 1, 2)
where d_qoy = ${qoy}
  and d_year = ${year}
group by s_store_name
order by s_store_name
limit 100
